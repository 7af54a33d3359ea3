// A shed's log in words.

import type { ShedEvent } from './api/types'
import { duration, energy, instant, listed, quantity } from './format'
import type { GlyphName } from './glyphs'
import { i18n, subjectText, word } from './i18n'
import { prefs } from './prefs'
import { knownPhase, phaseGlyph } from './suppression'

export interface Line {
  glyph: GlyphName
  tone: 'plain' | 'good' | 'warn' | 'bad'
  text: string
  more: string
}

const { t, te } = i18n.global

const str = (v: unknown): string => (typeof v === 'string' ? v : '')
const num = (v: unknown): number | undefined => (typeof v === 'number' && Number.isFinite(v) ? v : undefined)

/** A word of a group of events, or the word as it came. */
function named(group: string, w: string): string {
  return te(`events.${group}.${w}`, 'en') ? t(`events.${group}.${w}`) : w.replaceAll('_', ' ')
}

function join(...parts: (string | false | undefined)[]): string {
  return parts.filter(Boolean).join(' · ')
}

function who(by: string): string {
  return by === 'plug' || by === '' ? t('events.byPlug') : t('events.by', { by })
}

type Data = Record<string, unknown>

function relay(d: Data, n: number): Line {
  const why = str(d.why)
  const us = num(d.sample_to_relay) ?? 0
  const wrong = d.verified === false
  const ordered = why === 'session' || why === 'command' || why === 'start'
  const reason = ordered ? named('why', why) : word('cause', why)
  return {
    glyph: d.closed ? 'bolt' : ordered ? 'minus' : 'triangle',
    tone: wrong || (!d.closed && !ordered) ? 'bad' : 'plain',
    text: t(d.closed ? 'events.closed' : ordered ? 'events.opened' : 'events.cut', { n, reason }),
    more: join(us > 0 && t('events.latency', { ms: Math.max(1, Math.round(us / 1000)) }), wrong && t('events.unverified')),
  }
}

function session(what: string, d: Data, n: number): Line {
  const phase = str(d.phase)
  if (what === 'begun') return { glyph: 'plug', tone: 'plain', text: t('events.begun', { n }), more: who(str(d.by)) }
  const wh = energy(num(d.energy_wh), prefs.locale)
  if (what === 'phase') {
    return { glyph: phase === 'suspended' ? 'pause' : 'ring', tone: phase === 'suspended' ? 'warn' : 'plain', text: t('events.phase', { n, phase: named('phases', phase) }), more: (num(d.energy_wh) ?? 0) > 0 ? wh : '' }
  }
  const from = instant(str(d.begun_at))
  const to = instant(str(d.ended_at))
  const lasted = from !== undefined && to !== undefined ? duration(to - from, prefs.locale) : ''
  const peak = num(d.peak_watts)
  return {
    glyph: phase === 'tripped' ? 'triangle' : 'check',
    tone: phase === 'tripped' ? 'bad' : phase.startsWith('limit_') || phase === 'no_load' ? 'warn' : 'plain',
    text: t('events.ended', { n, reason: named('phases', phase || str(d.reason)) }),
    more: join(wh, lasted, peak !== undefined && peak > 0 && t('events.peak', { watts: quantity(peak, 'W', prefs.locale) })),
  }
}

function suppression(d: Data): Line {
  const phase = str(d.phase)
  const known = knownPhase(phase)
  const senses = Array.isArray(d.senses) ? d.senses.filter((s): s is string => typeof s === 'string') : []
  const zone = str(d.zone)
  return {
    glyph: known ? phaseGlyph[phase] : 'question',
    tone: phase === 'idle' ? 'good' : phase === 'vetoed' || !known ? 'warn' : 'bad',
    text: known ? t(`events.suppression.${phase}`) : t('events.suppressionOther', { phase: phase.replaceAll('_', ' ') }),
    more: join(zone && t('suppression.zone', { zone }), senses.length > 0 && t('events.seenBy', { senses: listed(senses.map((s) => word('cause', s)), prefs.locale) }), str(d.by) && t('events.by', { by: str(d.by) })),
  }
}

/** A veto and its end are one kind; the gateway's own record does not say which it was. */
function deed(kind: string, args: Data | undefined): string {
  if (kind !== 'veto_suppression') return kind
  if (!args) return 'either_suppression'
  return args.reset === true ? 'ready_suppression' : kind
}

/** Without an answer it is not known whether the gateway did it. */
function command(kind: string, n: number, by: string, answer: { ok: boolean; code?: string } | undefined): Line {
  const what = n > 0 ? t('events.commandAt', { kind: named('commands', kind), n }) : named('commands', kind)
  const who = by && t('events.by', { by })
  if (!answer) return { glyph: 'question', tone: 'warn', text: t('events.commandUnanswered', { what }), more: who }
  if (answer.ok) return { glyph: 'check', tone: 'good', text: t('events.commandDone', { what }), more: who }
  return { glyph: 'cross', tone: 'warn', text: t('events.commandRefused', { what }), more: join(answer.code && named('codes', answer.code), who) }
}

/** A command that was given here stands for itself; that the gateway says the same once more is left out. */
export function withoutEchoes(log: ShedEvent[]): ShedEvent[] {
  const given = new Set(log.filter((e) => e.type === 'command').map((e) => e.id))
  return log.filter((e) => e.type !== 'command.done' || !given.has(str(e.data?.command_id)))
}

function config(what: string, d: Data): Line {
  const hash = str(d.hash).slice(0, 12)
  if (what === 'applied') return { glyph: 'gear', tone: 'plain', text: t('events.applied'), more: hash }
  const faults = Array.isArray(d.faults) ? d.faults.filter((f): f is string => typeof f === 'string') : []
  return { glyph: 'gear', tone: 'bad', text: t('events.refusedConfig'), more: join(...faults, hash) }
}

/** One event as a line of the log. An event that this page does not know is shown as it came. */
export function eventLine(e: ShedEvent): Line {
  const d = e.data ?? {}
  const n = num(d.outlet) ?? 0
  const [group = '', what = ''] = e.type.split('.')
  switch (group) {
    case 'relay':
      if (what === 'operated') return relay(d, n)
      break
    case 'session':
      if (what === 'begun' || what === 'phase' || what === 'ended') return session(what, d, n)
      break
    case 'command':
      if (what === 'done') return command(deed(str(d.kind), undefined), 0, str(d.by), { ok: d.ok === true, code: str(d.code) })
      if (what === '') return command(deed(e.kind ?? '', d), n, e.by ?? '', e.reply ?? undefined)
      break
    case 'config':
      if (what === 'applied' || what === 'refused') return config(what, d)
      break
    case 'suppression':
      if (what === 'changed') return suppression(d)
      break
    case 'worker':
      if (what === 'restarted') return { glyph: 'diamond', tone: 'warn', text: t('events.worker'), more: subjectText(e.subject ?? '') }
      break
  }
  return { glyph: 'info', tone: 'plain', text: e.type, more: e.subject ? subjectText(e.subject) : '' }
}
