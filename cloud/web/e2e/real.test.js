// The page of a running system, named by SHEDGUARD_URL, SHEDGUARD_USER and
// SHEDGUARD_PASSWORD. It needs one shed whose gateway is online; with
// SHEDGUARD_OVERLOAD=1 an overload of its outlet 3 that is still to come, which is
// then acknowledged and reset from the page, and with SHEDGUARD_FIRE=1 a fire before its
// camera, still to come. Nothing else is switched.

import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { after, afterEach, before, describe, test } from 'node:test'
import { launch } from './browser.js'
import { App, desktop, phone, realTarget } from './pages.js'

const target = realTarget()

describe('a running system', { skip: target ? false : 'SHEDGUARD_URL is not set' }, () => {
  let browser
  let app
  before(async () => {
    await mkdir('artefacts/real', { recursive: true })
    browser = await launch()
  })
  after(() => browser.close())
  afterEach(() => app.close())

  const overload = process.env.SHEDGUARD_OVERLOAD === '1'
  test('an overload arrives without reloading, is acknowledged, and is reset from the page', { skip: overload ? false : 'SHEDGUARD_OVERLOAD is not set', timeout: 120_000 }, async () => {
    app = await App.open(browser, target, { locale: 'zh-CN', viewport: phone })
    const { page } = app
    await app.login()
    await page.locator('.tile-online').first().waitFor()
    let loads = 0
    page.on('load', () => loads++)
    const alarm = page.locator('[data-alarm]').filter({ hasText: '过电流' }).first()
    await alarm.waitFor({ timeout: 60_000 })
    await app.says(alarm, /过电流.*3 号插座/s)
    await page.screenshot({ path: 'artefacts/real/alarm.png' })
    const id = await alarm.getAttribute('data-alarm')
    await app.acknowledge(id, '值班员已知悉')
    await app.alarm(id).locator('.seen-by').waitFor()
    assert.equal(loads, 0, 'the page was loaded again')

    await page.locator('.tile-online').first().click()
    await page.locator('[data-outlet="3"].edge-tripped').waitFor()
    let said = ''
    for (const until = Date.now() + 60_000; Date.now() < until; ) {
      said = await app.order(3, app.words.reset)
      if (/已复位 3 号插座/.test(said)) break
      assert.match(said, /原因仍然存在/, 'only a standing cause may refuse')
      await page.screenshot({ path: 'artefacts/real/refused.png' })
      await page.keyboard.press('Escape')
      await app.dialog().waitFor({ state: 'detached' })
      await page.waitForTimeout(2000)
    }
    assert.match(said, /已复位 3 号插座/)
    await app.dialog().locator('button').last().click()
    await app.alarm(id).waitFor({ state: 'detached' })
    await page.locator('[data-outlet="3"]:not(.edge-tripped)').waitFor({ timeout: 30_000 })
    await page.screenshot({ path: 'artefacts/real/reset.png' })
    await app.assertNoSideScroll()
    // What was done is in the log of the shed: the cut with its latency, the order with its answer.
    const log = page.locator('[data-test=shed-log]')
    await log.getByText(/复位 3 号插座：已执行.*admin/).first().waitFor()
    await log.getByText(/3 号插座被切断：过电流.*采样后 \d+ 毫秒/).first().waitFor()
    // And in the history of the alarm, in the words of the gateway; nobody was told, which is said.
    await app.go(`/alarms/${id}`)
    await page.locator('.h-cleared').waitFor()
    await app.says(page.locator('.history'), /3 号插座：过电流（.*网关已断电/)
    await page.locator('[data-test=told]').getByText(/通知/).first().waitFor()
    // The chart around it marks it.
    await page.locator('a[href*="/outlets/3"]').click()
    await page.locator('[data-test=chart] canvas').waitFor()
    await app.alarm(id).waitFor()
  })

  const fire = process.env.SHEDGUARD_FIRE === '1'
  test('a fire before the camera arrives as one alarm, with its picture and the outlets that were cut', { skip: fire ? false : 'SHEDGUARD_FIRE is not set', timeout: 180_000 }, async () => {
    app = await App.open(browser, target, { locale: 'zh-CN', viewport: phone })
    const { page } = app
    await app.login()
    const card = page.locator('[data-alarm]').filter({ hasText: '火灾' }).filter({ has: page.locator('[data-test=others]') })
    await card.locator('[data-test=has-pictures]').waitFor({ timeout: 120_000 })
    assert.equal(await card.count(), 1)
    await app.says(card, /网关已切断本区全部插座.*已断电：7、8、9、10、11、12 号插座/s)
    await page.screenshot({ path: 'artefacts/real/fire.png' })
    await app.assertNoSideScroll()
    await app.assertAccessible('a fire')
    await card.locator('h3 a').click()
    const picture = page.locator('[data-picture] img').first()
    await picture.waitFor()
    assert.ok(await picture.evaluate((i) => i.decode().then(() => i.naturalWidth > 100)), 'the picture is shown')
    await page.screenshot({ path: 'artefacts/real/fire-picture.png', fullPage: true })
  })

  test('sheds report, values move, the chart draws', async () => {
    app = await App.open(browser, target, { locale: 'en', viewport: desktop })
    const { page } = app
    await app.login()
    const tile = page.locator('.tile-online').first()
    await tile.waitFor()
    await tile.click()
    const fresh = page.locator('.outlet:not(.stale)').first()
    await fresh.waitFor({ timeout: 40_000 })
    await app.says(fresh, /\d V/)
    await page.waitForFunction(() => document.querySelector('.link-live'))
    await fresh.locator('.outlet-no').click()
    await page.locator('[data-test=chart] canvas').waitFor({ timeout: 40_000 })
    await app.assertAccessible('chart')
  })

  test('notifications: what is set up, and the log', async () => {
    app = await App.open(browser, target, { locale: 'en', viewport: desktop })
    await app.login('/notifications')
    await app.page.locator('[data-test=notify-off], [data-test=people]').first().waitFor()
    await app.page.locator('[data-test=delivery], .empty').first().waitFor()
    await app.assertAccessible('notifications')
  })

  test('the alarm list answers on a phone, in Chinese', async () => {
    app = await App.open(browser, target, { locale: 'zh-CN', colorScheme: 'dark', viewport: phone })
    await app.login('/alarms?state=all')
    await app.page.locator('.list-end, .empty').first().waitFor()
    await app.assertNoSideScroll()
    await app.assertAccessible('alarms')
  })
})
