// Numbers and instants as people read them. Every function takes the language;
// what is not known is a dash, never a zero.

import type { Locale } from './prefs'

export const dash = '–'

const digits: Record<string, number> = { W: 0, A: 2, V: 1, '°C': 1, pf: 2, Hz: 2, mA: 0, ms: 0, s: 0 }

/** A value with the digits that its unit deserves; the unit itself is not added. */
export function number(value: number | null | undefined, unit: string, locale: Locale): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return dash
  const d = digits[unit] ?? 2
  const max = unit === 'W' && Math.abs(value) < 10 ? 1 : d
  const s = value.toLocaleString(locale, { minimumFractionDigits: unit in digits ? max : 0, maximumFractionDigits: max })
  return /^-0([.,]0+)?$/.test(s) ? s.slice(1) : s
}

export function quantity(value: number | null | undefined, unit: string, locale: Locale): string {
  const n = number(value, unit, locale)
  return n === dash || unit === '' || unit === 'pf' ? n : `${n} ${unit}`
}

/** Energy in Wh below 1 kWh, else in kWh. */
export function energy(wh: number | null | undefined, locale: Locale): string {
  if (wh === null || wh === undefined || !Number.isFinite(wh)) return dash
  if (Math.abs(wh) < 1000) return `${wh.toLocaleString(locale, { maximumFractionDigits: 0 })} Wh`
  return `${(wh / 1000).toLocaleString(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 })} kWh`
}

/** Milliseconds since 1970, or undefined for an instant that is missing or the zero time of Go. */
export function instant(s: string | null | undefined): number | undefined {
  if (!s || s.startsWith('0001-')) return undefined
  const t = Date.parse(s)
  return Number.isNaN(t) ? undefined : t
}

const formats = new Map<string, Intl.DateTimeFormat>()

function dateFormat(locale: Locale, opts: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = locale + JSON.stringify(opts)
  let f = formats.get(key)
  if (!f) formats.set(key, (f = new Intl.DateTimeFormat(locale, { hourCycle: 'h23', ...opts })))
  return f
}

/** Hours and minutes, and the date too when it is neither today's nor of the last twelve hours. */
export function clock(s: string | number | null | undefined, locale: Locale, now: number, seconds = false): string {
  const t = typeof s === 'number' ? s : instant(s)
  if (t === undefined) return dash
  const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' }
  if (seconds) time.second = '2-digit'
  const day = new Date(t)
  const today = new Date(now)
  const near = t <= now && now - t < 43_200_000
  if (near || day.toDateString() === today.toDateString()) return dateFormat(locale, time).format(t)
  const date: Intl.DateTimeFormatOptions = { month: locale === 'en' ? 'short' : 'numeric', day: 'numeric' }
  if (day.getFullYear() !== today.getFullYear()) date.year = 'numeric'
  return dateFormat(locale, { ...date, ...time }).format(t)
}

/** Date and time to the second, for tooltips and histories. */
export function full(s: string | number | null | undefined, locale: Locale): string {
  const t = typeof s === 'number' ? s : instant(s)
  if (t === undefined) return dash
  return dateFormat(locale, {
    year: 'numeric',
    month: locale === 'en' ? 'short' : '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  }).format(t)
}

const words = {
  en: { s: ' s', m: ' min', h: ' h', d: ' d' },
  'zh-CN': { s: ' 秒', m: ' 分钟', h: ' 小时', d: ' 天' },
} as const

/** How long, in its two greatest parts: "2 h 5 min". */
export function duration(ms: number, locale: Locale): string {
  const w = words[locale]
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 60) return s + w.s
  const m = Math.floor(s / 60)
  if (m < 60) return m + w.m
  const h = Math.floor(m / 60)
  if (h < 24) return m % 60 ? `${h}${w.h} ${m % 60}${w.m}` : h + w.h
  const d = Math.floor(h / 24)
  return h % 24 && d < 7 ? `${d}${w.d} ${h % 24}${w.h}` : d + w.d
}

/** Things one after the other, as the language puts them. */
export function listed(things: string[], locale: Locale): string {
  return new Intl.ListFormat(locale, { type: 'conjunction', style: 'narrow' }).format(things)
}
