import type { Bucket } from './api/types'

/** What a chart draws: null marks a gap, so that missing values are never bridged by a line. */
export type Drawn = [number, number | null, number | null, number | null]

/** Puts a gap wherever more than three steps lie between two buckets. */
export function withGaps(points: Bucket[], stepMs: number): Drawn[] {
  const out: Drawn[] = []
  const longest = Math.max(stepMs * 3, 35_000)
  let last: number | undefined
  for (const p of points) {
    if (last !== undefined && p[0] - last > longest) out.push([last + stepMs, null, null, null])
    out.push(p)
    last = p[0]
  }
  return out
}

export interface Summary {
  min: number
  mean: number
  max: number
}

/** Least, mean and greatest of a range; undefined when it holds nothing. */
export function summarise(points: Bucket[]): Summary | undefined {
  if (points.length === 0) return undefined
  let min = Infinity
  let max = -Infinity
  let sum = 0
  for (const [, lo, mean, hi] of points) {
    min = Math.min(min, lo)
    max = Math.max(max, hi)
    sum += mean
  }
  return { min, mean: sum / points.length, max }
}
