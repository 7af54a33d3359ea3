// A fire latches every outlet that it cuts, each with an alarm of its own. To a
// person that is one thing: the fire of the zone.

import type { Alarm } from './api/types'
import { instant } from './format'

/** An alarm that is shown, and those that it stands for. */
export interface Told {
  alarm: Alarm
  others: Alarm[]
}

export const zoneFire = (a: Alarm): boolean => a.cause === 'fire' && a.subject.startsWith('zone/')

/**
 * Puts the fire alarms of outlets under that of a zone of their shed, the one raised at nearly
 * the same moment where several burn. One that is not acknowledged never hides under one that is.
 */
export function fold(alarms: Alarm[]): Told[] {
  const told = alarms.map((alarm): Told => ({ alarm, others: [] }))
  const fires = told.filter((x) => zoneFire(x.alarm))
  const apart = (a: Alarm, b: Alarm) => Math.abs((instant(a.raised_at) ?? 0) - (instant(b.raised_at) ?? 0))
  return told.filter(({ alarm }) => {
    if (alarm.cause !== 'fire' || !alarm.subject.startsWith('outlet/')) return true
    const under = fires
      .filter((f) => f.alarm.shed === alarm.shed && (!f.alarm.acknowledged || alarm.acknowledged))
      .sort((f, g) => apart(f.alarm, alarm) - apart(g.alarm, alarm))[0]
    under?.others.push(alarm)
    return !under
  })
}
