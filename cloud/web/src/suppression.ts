// What the page says of a suppression agent, and when.

import { suppressionPhases, type Suppression, type SuppressionPhase } from './api/types'
import { instant } from './format'
import type { GlyphName } from './glyphs'

export const phaseGlyph: Record<SuppressionPhase, GlyphName> = {
  idle: 'shield',
  armed: 'octagon',
  vetoed: 'pause',
  releasing: 'spray',
  released: 'spray',
  unknown: 'question',
}

/** A phase that this page has words for. */
export function knownPhase(phase: string): phase is SuppressionPhase {
  return (suppressionPhases as readonly string[]).includes(phase)
}

/** What is to be said of a suppression unasked: nothing while it is simply ready. */
export function stirred(s: Suppression | null | undefined): Suppression | undefined {
  return s && s.phase !== 'idle' ? s : undefined
}

/** It does nothing until a person has made it ready again. */
export function spent(phase: string): boolean {
  return phase === 'vetoed' || phase === 'released' || phase === 'unknown'
}

/**
 * Whole seconds until the window or the release ends, rounded down: nobody may count on a part
 * of a second. Undefined when it is not known, as where the gateway's clock is not set.
 */
export function secondsLeft(s: Suppression, now: number): number | undefined {
  const until = instant(s.until)
  return until === undefined ? undefined : Math.max(0, Math.floor((until - now) / 1000))
}

const steps = [5, 10, 15, 30, 60, 120, 180, 240, 300]

/** The time that a screen reader is told: it changes a few times, not every second. */
export function spokenSeconds(left: number): number {
  return steps.find((s) => left <= s) ?? left - (left % 60) + 60
}
