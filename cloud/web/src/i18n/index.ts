import { watch } from 'vue'
import { createI18n } from 'vue-i18n'
import { subjectOutlet, type Alarm, type Text } from '../api/types'
import { prefs } from '../prefs'
import { en } from './en'
import { zh } from './zh'

export const i18n = createI18n({
  legacy: false,
  locale: prefs.locale,
  fallbackLocale: 'en',
  messages: { en, 'zh-CN': zh },
})

export function followLocale(): void {
  watch(
    () => prefs.locale,
    (l) => (i18n.global.locale.value = l),
    { immediate: true },
  )
}

const { t, te } = i18n.global

/** A word of the contract in the person's language; a word that this version does not know is shown as it came. */
export function word(group: 'cause' | 'action' | 'state' | 'gateway' | 'clock' | 'quality' | 'severity' | 'grade' | 'detail' | 'camera', w: string): string {
  const key = `${group}.${w}`
  return te(key, 'en') ? t(key) : w.replaceAll('_', ' ')
}

/** Where an alarm is: "Outlet 3", "Bus main", or the subject as it came. */
export function subjectText(subject: string): string {
  const n = subjectOutlet(subject)
  if (n) return t('subject.outlet', { n })
  const [kind = '', rest = ''] = subject.split('/', 2)
  if (kind === '' || kind === 'shed') return t('alarm.shedWide')
  return te(`subject.${kind}`, 'en') ? t(`subject.${kind}`, { n: rest }).trim() : subject
}

/** The one of two texts that is in the person's language, or the other one when it is missing. */
export function inLocale(text: Text | null | undefined): string {
  const own = prefs.locale === 'zh-CN' ? text?.zh || text?.en : text?.en || text?.zh
  return own ?? ''
}

/** How sure it is that something burns; empty where the cause says it already. */
export function gradeText(a: Alarm): string {
  return a.grade && a.grade !== a.cause ? word('grade', a.grade) : ''
}

export function alarmText(a: Alarm): string {
  return inLocale(a.text)
}
