// What became of an order, in words for people.

import { ApiError } from './api/client'
import type { Reply } from './api/types'
import { errorText } from './errors'
import { i18n } from './i18n'

const { t, te } = i18n.global

/** The orders to a whole shed, as their words are called: a veto and its end are one command kind. */
export type ShedOrder = 'silence' | 'veto' | 'ready' | 'selfTest'

export interface Answer {
  tone: 'good' | 'bad' | 'unsure'
  title: string
  text: string
  /** What the gateway itself wrote. */
  said?: string
}

/** Why a gateway refused. What a code means for this very order comes first. */
export function refusalText(reply: Reply, of?: ShedOrder): string {
  const code = reply.error?.code ?? ''
  const keys = of ? [`order.${of}.code.${code}`, `order.code.${code}`] : []
  if (code !== 'other') keys.push(`command.code.${code}`)
  const key = keys.find((k) => te(k, 'en'))
  return key ? t(key) : t('command.code.other', { code })
}

/** Why an order has no answer, and whether it may have been carried out all the same. */
export function failureText(err: unknown, of?: ShedOrder): { unsure: boolean; text: string } {
  const status = err instanceof ApiError ? err.status : -1
  if (status === 409) return { unsure: false, text: t('command.offline') }
  if (status === 403) return { unsure: false, text: t('command.forbidden') }
  const lost = err instanceof ApiError && (status === 504 || err.kind === 'timeout' || err.kind === 'garbled' || err.kind === 'network')
  return lost ? { unsure: true, text: t(of ? `order.${of}.noReply` : 'command.noReply') } : { unsure: false, text: errorText(err, t as (key: string, named?: Record<string, unknown>) => string) }
}

/** Gives an order and puts its answer in words; `done` says what a gateway has done that agreed. */
export async function giveOrder(order: () => Promise<Reply>, done: (reply: Reply) => Answer | string, of?: ShedOrder): Promise<Answer> {
  try {
    const reply = await order()
    if (!reply.ok) return { tone: 'bad', title: t('command.refused'), text: refusalText(reply, of), said: reply.error?.text }
    const text = done(reply)
    return typeof text === 'string' ? { tone: 'good', title: t('command.done'), text } : text
  } catch (err) {
    const { unsure, text } = failureText(err, of)
    return unsure ? { tone: 'unsure', title: t('command.unsure'), text } : { tone: 'bad', title: t('command.failed'), text }
  }
}
