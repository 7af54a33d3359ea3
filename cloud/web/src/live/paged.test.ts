import { describe, expect, it } from 'vitest'
import { mergeNewest, type Page } from './paged'

interface Entry {
  id: number
  word?: string
}
const page = (next: string, ...ids: number[]): Page<Entry> => ({ items: ids.map((id) => ({ id })), next })
const key = (e: Entry) => e.id
const ids = (p: Page<Entry>) => p.items.map(key)

describe('mergeNewest', () => {
  it('puts new entries on top and keeps what was read further down', () => {
    const got = mergeNewest(page('1', 5, 4, 3, 2), page('5', 7, 6, 5), key)
    expect(ids(got)).toEqual([7, 6, 5, 4, 3, 2])
    expect(got.next).toBe('1')
  })
  it('takes the newer word of an entry that changed', () => {
    const got = mergeNewest(page('', 2, 1), { items: [{ id: 2, word: 'sent' }, { id: 1 }], next: '' }, key)
    expect(got.items[0]).toEqual({ id: 2, word: 'sent' })
    expect(ids(got)).toEqual([2, 1])
  })
  it('starts again when entries may be missing in between', () => {
    const got = mergeNewest(page('1', 3, 2), page('8', 9, 8), key)
    expect(ids(got)).toEqual([9, 8])
    expect(got.next).toBe('8')
  })
  it('starts from nothing', () => {
    expect(mergeNewest(page(''), page('2', 3, 2), key)).toEqual(page('2', 3, 2))
  })
})
