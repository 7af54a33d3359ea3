// What a test does on the page, in the words of a person. Nothing here knows which
// server is behind it: SHEDGUARD_URL, SHEDGUARD_USER and SHEDGUARD_PASSWORD name a real one.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export const desktop = { width: 1440, height: 900 }
export const phone = { width: 390, height: 844 }
export const narrow = { width: 360, height: 740 }

/** The words that tests look for, in both languages. */
export const say = {
  'zh-CN': { acknowledge: '确认', acknowledged: '已确认', reset: '复位', alarms: '报警', overview: '总览', settings: '设置', start: '启动' },
  en: { acknowledge: 'Acknowledge', acknowledged: 'Acknowledged', reset: 'Reset', alarms: 'Alarms', overview: 'Overview', settings: 'Settings', start: 'Start' },
}

/** A slow machine and a slow line on purpose: SHEDGUARD_E2E_SLOW is how many times slower the page computes. */
export const slow = Number(process.env.SHEDGUARD_E2E_SLOW ?? 0)

/**
 * Waits until what is said holds: values come from the server after the page is drawn.
 * When it never holds, the last failed assertion is the error.
 */
export async function settles(check, ms = 20_000) {
  for (const until = Date.now() + ms; ; await new Promise((done) => setTimeout(done, 50))) {
    try {
      return await check()
    } catch (err) {
      if (Date.now() > until) throw err
    }
  }
}

export class App {
  /** Opens a page of its own, with everything on the console that is an error noted. */
  static async open(browser, target, { locale = 'zh-CN', colorScheme = 'light', viewport = desktop, allow = [] } = {}) {
    const context = await browser.newContext({ locale, colorScheme, viewport, timezoneId: 'Asia/Shanghai', bypassCSP: false })
    const page = await context.newPage()
    page.setDefaultTimeout(slow ? 60_000 : 20_000)
    if (slow) await (await context.newCDPSession(page)).send('Emulation.setCPUThrottlingRate', { rate: slow })
    const app = new App(page, target, say[locale])
    page.on('console', (m) => {
      if (m.type() !== 'error' && m.type() !== 'warning') return
      const text = `${m.text()} (${m.location().url})`
      if (![...app.allow].some((a) => a.test(text))) app.errors.push(text)
    })
    page.on('pageerror', (err) => app.errors.push(err.stack ?? String(err)))
    page.on('request', (r) => {
      if (!r.url().startsWith(target.url)) app.errors.push(`request to elsewhere: ${r.url()}`)
    })
    app.allow = new Set(allow)
    return app
  }

  constructor(page, target, words) {
    this.page = page
    this.target = target
    this.words = words
    this.errors = []
  }

  async close() {
    if (process.env.SHEDGUARD_E2E_SHOT) await this.page.screenshot({ path: process.env.SHEDGUARD_E2E_SHOT })
    await this.page.context().close()
    assert.deepEqual(this.errors, [], 'errors on the console')
  }

  go(path) {
    return this.page.goto(this.target.url + path)
  }

  async login(path = '/') {
    await this.go(path)
    await this.fillLogin(this.target.user, this.target.password)
    await this.page.locator('.tabs').waitFor()
  }

  async fillLogin(user, password) {
    await this.page.locator('input[name=username]').fill(user)
    await this.page.locator('input[name=password]').fill(password)
    await this.page.locator('form button[type=submit]').click()
  }

  /** The text of an element, once it matches. */
  says(locator, words, why) {
    return settles(async () => {
      const text = await locator.innerText()
      assert.match(text, words, why)
      return text
    })
  }

  alarm(id) {
    return this.page.locator(`[data-alarm="${id}"]`)
  }

  outlet(n) {
    return this.page.locator(`[data-outlet="${n}"]`)
  }

  dialog() {
    return this.page.locator('dialog[open]')
  }

  /** The gateway's answer in an open order dialog. */
  answer() {
    return this.page.locator('[data-test=answer]')
  }

  async acknowledge(id, comment = '') {
    await this.alarm(id).getByRole('button').click()
    if (comment) await this.dialog().locator('textarea').fill(comment)
    await this.dialog().locator('button[type=submit]').click()
    await this.dialog().waitFor({ state: 'detached' })
  }

  async order(outlet, word) {
    await this.outlet(outlet).getByRole('button', { name: word }).click()
    await this.dialog().locator('button[type=submit]').click()
    await this.answer().waitFor()
    return this.answer().innerText()
  }

  /** Scrolls on until the list has read all its rows. */
  scrollToEnd(rows) {
    return settles(async () => {
      await this.page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight))
      assert.equal(await this.page.getByText(new RegExp(`^${rows} shown$`)).count(), 1, `${rows} rows`)
    }, 120_000)
  }

  /** The page may never be wider than the screen. */
  async assertNoSideScroll() {
    const over = await this.page.evaluate(() => {
      const wide = document.documentElement.clientWidth
      return [...document.querySelectorAll('main *, header *')]
        .filter((e) => {
          const r = e.getBoundingClientRect()
          return r.right > wide + 1 && !e.closest('.table-box, .segments, .sr') && r.width > 0
        })
        .map((e) => `${e.tagName}.${e.className}`)
        .slice(0, 5)
    })
    assert.deepEqual(over, [], 'elements wider than the screen')
  }

  /** No serious or critical finding of axe on what is shown now. */
  async assertAccessible(what) {
    await this.page.evaluate(() => Promise.all(document.getAnimations().filter((a) => a.effect.getComputedTiming().endTime < Infinity).map((a) => a.finished.catch(() => {}))))
    await this.page.evaluate(axeSource)
    const found = await this.page.evaluate(async () => {
      const r = await window.axe.run(document, { resultTypes: ['violations'] })
      return r.violations
        .filter((v) => v.impact === 'serious' || v.impact === 'critical')
        .map((v) => `${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join(' | ')}`)
    })
    assert.deepEqual(found, [], `axe: ${what}`)
  }
}

/** The server that the environment names, or undefined. */
export function realTarget() {
  const url = process.env.SHEDGUARD_URL
  if (!url) return undefined
  return { url: url.replace(/\/$/, ''), user: process.env.SHEDGUARD_USER ?? 'admin', password: process.env.SHEDGUARD_PASSWORD ?? '' }
}
