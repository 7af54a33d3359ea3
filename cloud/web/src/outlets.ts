import type { CommandKind, Live, OutletState, OutletSummary, Shed } from './api/types'

export interface OutletRow {
  outlet: OutletSummary
  live: Live | undefined
  stale: boolean
}

/** What stands under a shed's name: its place, else its id where that is another word than the name. */
export function shedWhere(s: Shed): string {
  return s.place || (s.name && s.name !== s.shed ? s.shed : '')
}

/** The orders that make sense for an outlet in this state; the gateway has the last word. */
export function orders(state: OutletState, latched: boolean): CommandKind[] {
  if (latched || state === 'tripped') return ['reset_trip']
  switch (state) {
    case 'charging':
    case 'suspended':
    case 'full':
    case 'ready':
      return state === 'ready' ? ['start', 'stop'] : ['stop']
    case 'off':
    case 'unknown':
      return ['start']
    default:
      return ['reset_trip', 'stop']
  }
}

export const orderText = { start: 'shed.start', stop: 'shed.stop', reset_trip: 'shed.reset' } as const
