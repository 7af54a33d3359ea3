import { describe, expect, it } from 'vitest'
import { clock, dash, duration, energy, instant, listed, number, quantity } from './format'
import { browserLocale, readPrefs } from './prefs'

describe('number', () => {
  const cases: Record<string, [number | null | undefined, string, string]> = {
    'watts whole': [1480.4, 'W', '1,480'],
    'small watts with one digit': [3.26, 'W', '3.3'],
    'amps with two': [1.8249, 'A', '1.82'],
    'volts with one': [221, 'V', '221.0'],
    'no minus before zero': [-0.001, 'A', '0.00'],
    'not measured': [null, 'A', dash],
    'absent': [undefined, 'A', dash],
    'not a number': [NaN, 'A', dash],
    'infinite': [Infinity, 'A', dash],
    'unknown unit keeps what it has': [2.5, 'kg', '2.5'],
  }
  for (const [name, [value, unit, want]] of Object.entries(cases)) {
    it(name, () => expect(number(value, unit, 'en')).toBe(want))
  }
  it('quantity adds the unit, not to a dash', () => {
    expect(quantity(1.8, 'A', 'en')).toBe('1.80 A')
    expect(quantity(null, 'A', 'en')).toBe(dash)
  })
})

describe('energy', () => {
  it('changes to kWh at 1000 Wh', () => {
    expect(energy(999, 'en')).toBe('999 Wh')
    expect(energy(1240.5, 'en')).toBe('1.24 kWh')
    expect(energy(undefined, 'en')).toBe(dash)
  })
})

describe('instant', () => {
  it('takes the zero time of Go for missing', () => {
    expect(instant('0001-01-01T00:00:00Z')).toBeUndefined()
    expect(instant('nonsense')).toBeUndefined()
    expect(instant(null)).toBeUndefined()
    expect(instant('2026-11-23T08:00:00.250Z')).toBe(Date.UTC(2026, 10, 23, 8, 0, 0, 250))
  })
})

describe('clock', () => {
  const now = new Date(2026, 10, 23, 9, 0, 0).getTime()
  it('leaves the date out today and for the night before', () => {
    expect(clock(new Date(2026, 10, 23, 8, 5).getTime(), 'en', now)).toBe('08:05')
    expect(clock(new Date(2026, 10, 22, 23, 5).getTime(), 'en', now)).toBe('23:05')
  })
  it('says the day else, and the year when it is another', () => {
    expect(clock(new Date(2026, 10, 20, 8, 5).getTime(), 'en', now)).toMatch(/Nov 20.*08:05/)
    expect(clock(new Date(2025, 10, 20, 8, 5).getTime(), 'en', now)).toMatch(/2025/)
  })
  it('midnight is 00, never 24', () => {
    expect(clock(new Date(2026, 10, 23, 0, 0).getTime(), 'zh-CN', now)).toBe('00:00')
  })
})

describe('duration', () => {
  const cases: Record<string, [number, string, string]> = {
    seconds: [59_999, '59 s', '59 秒'],
    minutes: [60_000, '1 min', '1 分钟'],
    'hours and minutes': [7_500_000, '2 h 5 min', '2 小时 5 分钟'],
    'whole hours': [7_200_000, '2 h', '2 小时'],
    'days and hours': [90_000_000, '1 d 1 h', '1 天 1 小时'],
    'many days': [8 * 86_400_000 + 3_600_000, '8 d', '8 天'],
    'never negative': [-5, '0 s', '0 秒'],
  }
  for (const [name, [ms, en, zh]] of Object.entries(cases)) {
    it(name, () => {
      expect(duration(ms, 'en')).toBe(en)
      expect(duration(ms, 'zh-CN')).toBe(zh)
    })
  }
})

it('things one after the other', () => {
  expect(listed(['7', '8', '9'], 'zh-CN')).toBe('7、8、9')
  expect(listed(['7', '8', '9'], 'en')).toBe('7, 8, 9')
  expect(listed(['7'], 'en')).toBe('7')
})

describe('preferences', () => {
  it('begin with the browser’s language', () => {
    expect(browserLocale(['zh-TW', 'en'])).toBe('zh-CN')
    expect(browserLocale(['de-DE', 'zh'])).toBe('en')
    expect(browserLocale([])).toBe('en')
  })
  it('keep what was chosen and drop what nobody could have chosen', () => {
    const stored = JSON.stringify({ locale: 'en', theme: 'dark', sound: false, outletsAs: 'pie' })
    expect(readPrefs(stored, ['zh-CN'])).toEqual({ locale: 'en', theme: 'dark', sound: false, outletsAs: 'cards' })
  })
  for (const bad of ['{', 'null', '[]', '7']) {
    it(`live with ${bad} in the storage`, () => expect(readPrefs(bad, ['zh-CN']).locale).toBe('zh-CN'))
  }
})
