// What became of an order, in words for people.

import { ApiError } from './api/client'
import type { Reply } from './api/types'
import { errorText } from './errors'
import { i18n } from './i18n'

const { t, te } = i18n.global

/** Why a gateway refused. */
export function refusalText(reply: Reply): string {
  const code = reply.error?.code ?? ''
  const known = te(`command.code.${code}`, 'en') && code !== 'other'
  return known ? t(`command.code.${code}`) : t('command.code.other', { code })
}

/** Why an order has no answer, and whether it may have been carried out all the same. */
export function failureText(err: unknown): { unsure: boolean; text: string } {
  const status = err instanceof ApiError ? err.status : -1
  if (status === 409) return { unsure: false, text: t('command.offline') }
  if (status === 403) return { unsure: false, text: t('command.forbidden') }
  const lost = err instanceof ApiError && (status === 504 || err.kind === 'timeout' || err.kind === 'garbled' || err.kind === 'network')
  return lost ? { unsure: true, text: t('command.noReply') } : { unsure: false, text: errorText(err, t as (key: string, named?: Record<string, unknown>) => string) }
}
