// The page of a running system, named by SHEDGUARD_URL, SHEDGUARD_USER and
// SHEDGUARD_PASSWORD. It needs one shed whose gateway is online. Nothing is switched here.

import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { launch } from './browser.js'
import { App, desktop, phone, realTarget } from './pages.js'

const target = realTarget()

describe('a running system', { skip: target ? false : 'SHEDGUARD_URL is not set' }, () => {
  let browser
  let app
  before(async () => {
    browser = await launch()
  })
  after(() => browser.close())
  afterEach(() => app.close())

  test('sheds report, values move, the chart draws', async () => {
    app = await App.open(browser, target, { locale: 'en', viewport: desktop })
    const { page } = app
    await app.login()
    const tile = page.locator('.tile-online').first()
    await tile.waitFor()
    await tile.click()
    const fresh = page.locator('.outlet:not(.stale)').first()
    await fresh.waitFor({ timeout: 40_000 })
    assert.match(await fresh.innerText(), /\d V/)
    await page.waitForFunction(() => document.querySelector('.link-live'))
    await fresh.locator('.outlet-no').click()
    await page.locator('[data-test=chart] canvas').waitFor({ timeout: 40_000 })
    await app.assertAccessible('chart')
  })

  test('the alarm list answers on a phone, in Chinese', async () => {
    app = await App.open(browser, target, { locale: 'zh-CN', colorScheme: 'dark', viewport: phone })
    await app.login('/alarms?state=all')
    await app.page.locator('.list-end, .empty').first().waitFor()
    await app.assertNoSideScroll()
    await app.assertAccessible('alarms')
  })
})
