import { expect, it } from 'vitest'
import type { Alarm } from './api/types'
import { fold } from './fold'

function alarm(id: string, subject: string, more: Partial<Alarm> = {}): Alarm {
  return {
    alarm_id: id,
    shed: 's1',
    shed_name: '',
    subject,
    cause: 'fire',
    severity: 'critical',
    level: 1,
    state: 'open',
    raised_at: '2026-11-28T03:00:00Z',
    received_at: '2026-11-28T03:00:00Z',
    value: 0,
    limit: 0,
    unit: '',
    action: 'cut_zone',
    latched: true,
    text: { zh: '', en: '' },
    acknowledged: null,
    ...more,
  }
}
const ids = (alarms: Alarm[]) => fold(alarms).map((x) => [x.alarm.alarm_id, ...x.others.map((o) => o.alarm_id)].join('+'))
const seen = { acknowledged: { by: 'x', at: '' } }

it('the fire of a zone stands for those of its outlets', () => {
  expect(ids([alarm('o7', 'outlet/7'), alarm('z', 'zone/bay-2'), alarm('o8', 'outlet/8')])).toEqual(['z+o7+o8'])
})

it('an outlet has other alarms, and other sheds have other fires', () => {
  const hot = alarm('hot', 'outlet/7', { cause: 'over_temperature' })
  expect(ids([hot, alarm('z', 'zone/bay-2'), alarm('other', 'outlet/7', { shed: 's2' })])).toEqual(['hot', 'z', 'other'])
})

it('without an open fire of the zone each outlet says so itself', () => {
  expect(ids([alarm('o7', 'outlet/7'), alarm('o8', 'outlet/8')])).toEqual(['o7', 'o8'])
})

it('of several zones the one that was raised with it', () => {
  const later = '2026-11-28T03:04:00Z'
  expect(ids([alarm('a', 'zone/bay-1'), alarm('b', 'zone/bay-2', { raised_at: later }), alarm('o1', 'outlet/1', { raised_at: '2026-11-28T03:00:01Z' }), alarm('o9', 'outlet/9', { raised_at: later })])).toEqual(['a+o1', 'b+o9'])
})

it('what nobody has acknowledged does not hide under what somebody has', () => {
  expect(ids([alarm('z', 'zone/bay-2', seen), alarm('o7', 'outlet/7'), alarm('o8', 'outlet/8', seen)])).toEqual(['z+o8', 'o7'])
  expect(ids([alarm('z', 'zone/bay-2'), alarm('o8', 'outlet/8', seen)])).toEqual(['z+o8'])
})
