import { expect, it } from 'vitest'
import type { Bucket } from './api/types'
import { slice } from './live/window'
import { summarise, withGaps } from './series'

it('a hole in the data is a gap, a single late point is not', () => {
  const at = (t: number): Bucket => [t, 1, 2, 3]
  expect(withGaps([at(0), at(10_000), at(30_000)], 10_000)).toHaveLength(3)
  const drawn = withGaps([at(0), at(10_000), at(100_000)], 10_000)
  expect(drawn).toHaveLength(4)
  expect(drawn[2]).toEqual([20_000, null, null, null])
})

it('summarise takes the extremes of the buckets, not of their means', () => {
  expect(summarise([[0, 1, 5, 9], [1, 2, 3, 30]])).toEqual({ min: 1, mean: 4, max: 30 })
  expect(summarise([])).toBeUndefined()
})

it('slice covers the view, keeps the total height and stays in range', () => {
  for (const count of [0, 1, 5, 100, 10_000]) {
    for (const top of [500, 0, -1, -40_000, -79_990, -900_000]) {
      const s = slice(count, 80, top, 900)
      expect(s.from).toBeGreaterThanOrEqual(0)
      expect(s.to).toBeLessThanOrEqual(count)
      expect(s.before + (s.to - s.from) * 80 + s.after).toBe(count * 80)
      expect(s.to - s.from).toBeLessThan(40)
      const seenFrom = Math.max(0, Math.floor(-top / 80))
      const seenTo = Math.min(count, Math.ceil((900 - top) / 80))
      if (seenFrom < seenTo) {
        expect(s.from).toBeLessThanOrEqual(seenFrom)
        expect(s.to).toBeGreaterThanOrEqual(seenTo)
      }
    }
  }
})

it('slice shows a first screen before the height of a row is known', () => {
  expect(slice(10_000, 0, 0, 900)).toEqual({ from: 0, to: 30, before: 0, after: 0 })
})
