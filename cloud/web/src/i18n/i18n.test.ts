import { expect, it } from 'vitest'
import { en } from './en'
import { zh } from './zh'

type Tree = { [key: string]: string | Tree }

function leaves(tree: Tree, path = ''): [string, string][] {
  return Object.entries(tree).flatMap(([k, v]) => (typeof v === 'string' ? [[path + k, v] as [string, string]] : leaves(v, `${path}${k}.`)))
}

const english = leaves(en)
const chinese = new Map(leaves(zh))

it('every text is there in both languages', () => {
  expect([...chinese.keys()].sort()).toEqual(english.map(([k]) => k).sort())
  for (const [, text] of [...english, ...chinese]) expect(text.trim()).not.toBe('')
})

it('both languages fill in the same values', () => {
  const names = (s: string) => [...new Set(s.match(/\{\w+\}/g) ?? [])].sort()
  for (const [key, text] of english) expect(names(chinese.get(key)!), key).toEqual(names(text))
})

it('Chinese is Chinese', () => {
  for (const [key, text] of chinese) {
    if (text.replace(/\{\w+\}/g, '').trim() === '') continue // nothing but values to fill in
    expect(/[\u4e00-\u9fff]/.test(text), `${key}: ${text}`).toBe(true)
  }
})
