import { describe, expect, it } from 'vitest'
import { secondsLeft, spent, spokenSeconds } from './suppression'

const now = Date.parse('2026-11-23T08:00:00.000Z')

describe('suppression', () => {
  it('counts whole seconds and never promises more than there is', () => {
    const left = (until: string | null | undefined) => secondsLeft({ phase: 'armed', until }, now)
    expect(left('2026-11-23T08:00:15.000Z')).toBe(15)
    expect(left('2026-11-23T08:00:14.999Z')).toBe(14)
    expect(left('2026-11-23T16:00:07.500+08:00')).toBe(7)
    expect(left('2026-11-23T08:00:00.999Z')).toBe(0)
    expect(left('2026-11-23T07:59:00.000Z')).toBe(0)
    for (const none of [null, undefined, '', '0001-01-01T00:00:00Z', 'soon']) expect(left(none)).toBeUndefined()
  })

  it('is read aloud a few times, and what is said is never less than what is left', () => {
    const said = Array.from({ length: 301 }, (_, s) => spokenSeconds(300 - s))
    expect([...new Set(said)]).toEqual([300, 240, 180, 120, 60, 30, 15, 10, 5])
    said.forEach((s, i) => expect(s).toBeGreaterThanOrEqual(300 - i))
    expect(spokenSeconds(301)).toBe(360)
  })

  it('waits for a person after a veto, a release and a loss, and only then', () => {
    expect(['idle', 'armed', 'vetoed', 'releasing', 'released', 'unknown', 'locked_out'].filter(spent)).toEqual(['vetoed', 'released', 'unknown'])
  })
})
