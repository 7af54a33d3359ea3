// The result of a gateway's self-test in words.

import type { SelfTestCheck } from './api/types'
import { i18n } from './i18n'
import { knownPhase } from './suppression'

const { t, te } = i18n.global

/** The checks of a reply, those that failed first; undefined when it has none that can be read. */
export function checksOf(result: unknown): SelfTestCheck[] | undefined {
  const list = (result as { checks?: unknown } | null | undefined)?.checks
  if (!Array.isArray(list)) return undefined
  const checks = list.filter((c): c is SelfTestCheck => typeof c?.name === 'string' && typeof c.ok === 'boolean')
  return checks.length ? checks.sort((a, b) => Number(a.ok) - Number(b.ok)) : undefined
}

/** "outlet/3/meter" is "Outlet 3: meter"; a name that is not known here is shown as it came. */
export function checkName(name: string): string {
  const m = /^outlet\/([1-9]\d{0,2})\/(\w+)$/.exec(name)
  if (m && te(`selfTest.parts.${m[2]}`, 'en')) return t('selfTest.outlet', { n: m[1]!, part: t(`selfTest.parts.${m[2]}`) })
  return te(`selfTest.names.${name}`, 'en') ? t(`selfTest.names.${name}`) : name
}

const details: [RegExp, string][] = [
  [/^none is wired$/, 'noLamp'],
  [/^lit for (?<s>\d+)s: look whether it is$/, 'lit'],
  [/^not read yet$/, 'notRead'],
  [/^not enabled$/, 'notEnabled'],
  [/^runs free since its time source was lost$/, 'holdover'],
  [/^not set: start, reset and veto by command are refused$/, 'unsynced'],
]

/** What a check adds, in the person's language where its sentence is known; else as the gateway wrote it. */
export function checkDetail(c: SelfTestCheck): string {
  const said = c.detail ?? ''
  if (c.name === 'suppression' && knownPhase(said)) return t(`suppression.short.${said}`)
  for (const [form, key] of details) {
    const m = form.exec(said)
    if (m) return t(`selfTest.details.${key}`, { ...m.groups })
  }
  return said
}
