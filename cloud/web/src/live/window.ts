/** The part of a long list that has to be in the document: rows of one height, some more on either side. */
export interface Slice {
  from: number
  to: number
  before: number
  after: number
}

const margin = 8

export function slice(count: number, rowHeight: number, listTop: number, viewHeight: number): Slice {
  if (rowHeight <= 0) return { from: 0, to: Math.min(count, 30), before: 0, after: 0 }
  const first = Math.floor(-listTop / rowHeight)
  const from = Math.min(Math.max(0, first - margin), Math.max(0, count - 1))
  const to = Math.min(count, Math.max(from, first + Math.ceil(viewHeight / rowHeight) + margin))
  return { from, to, before: from * rowHeight, after: (count - to) * rowHeight }
}
