import { afterEach, describe, expect, it } from 'vitest'
import { failureText, giveOrder, refusalText, type ShedOrder } from './answers'
import { ApiError } from './api/client'
import { i18n } from './i18n'

afterEach(() => void (i18n.global.locale.value = 'en'))

const refusal = (code: string) => ({ id: '1', ok: false, error: { code, text: 'as the gateway wrote it' } })

describe('the answer to an order', () => {
  it('says what a refusal means for this very order', () => {
    const all: (ShedOrder | undefined)[] = [undefined, 'silence', 'veto', 'ready', 'selfTest']
    const words = all.map((of) => refusalText(refusal('not_permitted'), of))
    expect(words[0]).toMatch(/This outlet/)
    expect(words[2]).toMatch(/nothing to veto any more/)
    expect(words[3]).toMatch(/cannot be made ready at present/)
    expect(words[1]).toBe(words[4])
    for (const of of all.slice(1)) {
      for (const code of ['not_permitted', 'clock_unsynced', 'wrong_boot', 'busy']) {
        for (const locale of ['en', 'zh-CN'] as const) {
          i18n.global.locale.value = locale
          expect(refusalText(refusal(code), of), `${of} ${code}`).not.toMatch(/outlet|插座/)
        }
        i18n.global.locale.value = 'en'
      }
    }
    expect(refusalText(refusal('expired'), 'veto')).toMatch(/too late/)
    expect(refusalText(refusal('other'), 'veto')).toBe('Reason: other')
    expect(refusalText(refusal('of_a_newer_gateway'), 'veto')).toBe('Reason: of_a_newer_gateway')
  })

  it('tells apart what was not sent and what may have been done', () => {
    const http = (status: number) => new ApiError(status, 'http', '', '')
    expect(failureText(http(409), 'veto')).toEqual({ unsure: false, text: expect.stringMatching(/offline/) })
    expect(failureText(http(403), 'veto')).toEqual({ unsure: false, text: expect.stringMatching(/not allowed/) })
    expect(failureText(http(503), 'veto').unsure).toBe(false)
    for (const of of ['silence', 'veto', 'ready', 'selfTest'] as const) {
      const lost = [http(504), new ApiError(0, 'network', '', ''), new ApiError(0, 'timeout', '', ''), new ApiError(200, 'garbled', '', '')].map((err) => failureText(err, of))
      expect(lost.every((l) => l.unsure && l.text === lost[0]!.text), of).toBe(true)
      expect(lost[0]!.text).not.toMatch(/outlet/)
    }
    expect(failureText(http(504)).text).toMatch(/outlet’s state/)
  })

  it('comes as done, refused, failed or not sure', async () => {
    expect(await giveOrder(async () => ({ id: '1', ok: true }), () => 'so it is')).toEqual({ tone: 'good', title: 'Done', text: 'so it is' })
    expect(await giveOrder(async () => refusal('busy'), () => '', 'veto')).toMatchObject({ tone: 'bad', title: 'The gateway refused', said: 'as the gateway wrote it' })
    expect(await giveOrder(() => Promise.reject(new ApiError(403, 'http', '', '')), () => '')).toMatchObject({ tone: 'bad', title: 'The order was not carried out' })
    expect(await giveOrder(() => Promise.reject(new ApiError(504, 'http', '', '')), () => '')).toMatchObject({ tone: 'unsure', title: 'Not sure what happened' })
  })
})
