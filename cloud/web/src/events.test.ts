import { afterEach, describe, expect, it } from 'vitest'
import type { ShedEvent } from './api/types'
import { eventLine, withoutEchoes } from './events'
import { i18n } from './i18n'
import { prefs, type Locale } from './prefs'

function speak(locale: Locale) {
  prefs.locale = locale
  i18n.global.locale.value = locale
}
afterEach(() => speak('en'))

function event(type: string, data: Record<string, unknown> = {}, subject = 'outlet/3'): ShedEvent {
  return { id: 'E', type, subject, at: '2026-11-23T08:00:00.000Z', data }
}

describe('a line of the shed log', () => {
  const ended = { outlet: 3, phase: 'unplugged', reason: 'EVDisconnected', begun_at: '2026-11-23T06:00:00Z', ended_at: '2026-11-23T08:05:00Z', energy_wh: 1240.5, peak_watts: 312.4 }
  const cases: Record<string, [ShedEvent, string, string, string]> = {
    'a cut, with its latency': [
      event('relay.operated', { outlet: 3, closed: false, why: 'overcurrent', sample_to_relay: 4183, verified: true }),
      'bad',
      'Outlet 3 cut: Overcurrent · 4 ms after the reading',
      '3 号插座被切断：过电流 · 采样后 4 毫秒',
    ],
    'a latency below 1 ms is not called 0': [
      event('relay.operated', { outlet: 3, closed: false, why: 'short_circuit', sample_to_relay: 320, verified: true }),
      'bad',
      'Outlet 3 cut: Short circuit · 1 ms after the reading',
      '3 号插座被切断：短路 · 采样后 1 毫秒',
    ],
    'on, by a session': [
      event('relay.operated', { outlet: 3, closed: true, why: 'session', sample_to_relay: 0, verified: true }),
      'plain',
      'Outlet 3 switched on (session)',
      '3 号插座已通电（充电过程）',
    ],
    'off on order, not confirmed': [
      event('relay.operated', { outlet: 3, closed: false, why: 'command', sample_to_relay: 0, verified: false }),
      'bad',
      'Outlet 3 switched off (order) · the relay did not confirm',
      '3 号插座已断电（指令） · 继电器未确认动作',
    ],
    'a session begins': [event('session.begun', { outlet: 3, by: 'plug' }), 'plain', 'Outlet 3: session began · by plugging in', '3 号插座：开始充电 · 插入即充'],
    'a session is suspended': [event('session.phase', { outlet: 3, phase: 'suspended', energy_wh: 96.2 }), 'warn', 'Outlet 3: suspended · 96 Wh', '3 号插座：暂停 · 96 Wh'],
    'a session ends': [
      event('session.ended', ended),
      'plain',
      'Outlet 3: session ended, unplugged · 1.24 kWh · 2 h 5 min · peak 312 W',
      '3 号插座：充电结束，已拔出 · 1.24 kWh · 2 小时 5 分钟 · 峰值 312 W',
    ],
    'a trip ends a session': [event('session.ended', { ...ended, phase: 'tripped', peak_watts: 0 }), 'bad', 'Outlet 3: session ended, tripped · 1.24 kWh · 2 h 5 min', '3 号插座：充电结束，跳闸 · 1.24 kWh · 2 小时 5 分钟'],
    'an order given here, done': [
      { ...event('command', { outlet: 3 }, ''), kind: 'reset_trip', by: 'wang', reply: { at: '', ok: true } },
      'good',
      'Reset outlet 3: done · by wang',
      '复位 3 号插座：已执行 · 操作人 wang',
    ],
    'an order given here, refused': [
      { ...event('command', { outlet: 3, max_wh: 500 }, ''), kind: 'start', by: 'wang', reply: { at: '', ok: false, code: 'clock_unsynced', text: 'clock: unsynced' } },
      'warn',
      'Start outlet 3: refused · clock not set · by wang',
      '启动 3 号插座：被拒绝 · 时钟未校准 · 操作人 wang',
    ],
    'an order given here, without an answer': [
      { ...event('command', {}, ''), kind: 'self_test', by: 'wang' },
      'warn',
      'Self-test: no answer · by wang',
      '自检：没有答复 · 操作人 wang',
    ],
    'an order done': [event('command.done', { kind: 'reset_trip', by: 'wang', ok: true }, 'shed'), 'good', 'Reset: done · by wang', '复位：已执行 · 操作人 wang'],
    'an order refused': [
      event('command.done', { kind: 'reset_trip', by: 'wang', ok: false, code: 'cause_stands' }, 'shed'),
      'warn',
      'Reset: refused · the cause still stands · by wang',
      '复位：被拒绝 · 原因仍然存在 · 操作人 wang',
    ],
    'a veto given here': [
      { ...event('command', {}, ''), kind: 'veto_suppression', by: 'wang', reply: { at: '', ok: true } },
      'good',
      'Veto suppression: done · by wang',
      '紧急停止喷放：已执行 · 操作人 wang',
    ],
    'made ready again from here': [
      { ...event('command', { reset: true }, ''), kind: 'veto_suppression', by: 'wang', reply: { at: '', ok: false, code: 'not_permitted' } },
      'warn',
      'Make suppression ready again: refused · not permitted at present · by wang',
      '灭火装置恢复待命：被拒绝 · 目前不允许 · 操作人 wang',
    ],
    'an order to the suppression of which only the gateway tells': [
      event('command.done', { kind: 'veto_suppression', by: 'wang', ok: true }, 'shed'),
      'good',
      'Veto or make ready the suppression: done · by wang',
      '灭火装置紧急停止或恢复待命：已执行 · 操作人 wang',
    ],
    'the siren silenced from here': [
      { ...event('command', {}, ''), data: null, kind: 'silence_siren', by: 'wang', reply: { at: '', ok: true } },
      'good',
      'Silence siren: done · by wang',
      '警笛静音：已执行 · 操作人 wang',
    ],
    'a suppression is armed': [
      event('suppression.changed', { phase: 'armed', zone: 'bay-1', alarm_id: 'A', by: '', senses: ['flame_seen', 'smoke_contact'] }, 'shed'),
      'bad',
      'Fire suppression armed: it releases unless vetoed · zone bay-1 · seen by: Flame seen by camera, Smoke detector alarm',
      '灭火装置进入喷放倒计时，除非紧急停止 · 区域 bay-1 · 依据：摄像头发现火焰、烟感报警',
    ],
    'a suppression is vetoed': [event('suppression.changed', { phase: 'vetoed', zone: '', by: 'wang' }, 'shed'), 'warn', 'Fire suppression vetoed · by wang', '灭火装置已紧急停止 · 操作人 wang'],
    'a suppression releases': [event('suppression.changed', { phase: 'releasing', zone: 'bay-1' }, 'shed'), 'bad', 'Fire suppression releases · zone bay-1', '灭火装置开始喷放 · 区域 bay-1'],
    'a suppression has released': [event('suppression.changed', { phase: 'released' }, 'shed'), 'bad', 'Fire suppression has released', '灭火装置已喷放完毕'],
    'a suppression is made ready': [event('suppression.changed', { phase: 'idle', by: 'wang' }, 'shed'), 'good', 'Fire suppression made ready · by wang', '灭火装置恢复待命 · 操作人 wang'],
    'a suppression is lost': [event('suppression.changed', { phase: 'unknown' }, 'shed'), 'bad', 'State of the fire suppression unknown: a person must look at it', '灭火装置状态未知，须人工检查'],
    'a suppression of a newer gateway': [event('suppression.changed', { phase: 'locked_out', senses: 'many' }, 'shed'), 'warn', 'Fire suppression: locked out', '灭火装置：locked out'],
    'a configuration refused': [
      event('config.refused', { hash: '8f14e45fceea167a5a36', faults: ['buses[0].khz: 900: want 10 to 400'] }, 'shed'),
      'bad',
      'Configuration refused · buses[0].khz: 900: want 10 to 400 · 8f14e45fceea',
      '配置被拒绝 · buses[0].khz: 900: want 10 to 400 · 8f14e45fceea',
    ],
    'words of a newer gateway': [event('relay.operated', { outlet: 3, closed: false, why: 'water_ingress', verified: true }), 'bad', 'Outlet 3 cut: water ingress', '3 号插座被切断：water ingress'],
    'an event of a newer gateway': [event('pump.started', {}, 'outlet/3'), 'plain', 'pump.started · Outlet 3', 'pump.started · 3 号插座'],
  }
  for (const [name, [e, tone, en, zh]] of Object.entries(cases)) {
    it(name, () => {
      for (const [locale, want] of [['en', en], ['zh-CN', zh]] as const) {
        speak(locale)
        const line = eventLine(e)
        expect([line.text, line.more].filter(Boolean).join(' · ')).toBe(want)
        expect(line.tone).toBe(tone)
      }
    })
  }

  it('lives with data that is missing or of another kind', () => {
    for (const type of ['relay.operated', 'session.begun', 'session.phase', 'session.ended', 'command.done', 'config.applied', 'config.refused', 'worker.restarted', 'command', '', 'x']) {
      for (const data of [undefined, null, {}, { outlet: '3', faults: 7, by: 1, phase: null, energy_wh: 'NaN', hash: {} }]) {
        const line = eventLine({ id: 'E', type, at: '', data: data as never })
        expect(line.text).not.toContain('undefined')
        expect(line.more).not.toContain('undefined')
      }
    }
  })
})

it('withoutEchoes leaves out what the gateway says about an order of the log, nothing else', () => {
  const done = (id: string) => ({ ...event('command.done', { command_id: id }), id: `done ${id}` })
  const given = { ...event('command', {}), id: 'A' }
  const log = [done('A'), given, done('of another program'), event('relay.operated')]
  expect(withoutEchoes(log)).toEqual([given, done('of another program'), event('relay.operated')])
})
