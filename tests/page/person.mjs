// A person's whole way through the page of `aisha dev`: the first screen, an avatar, accidents, its pictures. Wide and at
// 390 pixels, light and dark, with axe-core after each step.
//
// PAGE: the page's URL. CHROMIUM: the browser. SHOTS: where screenshots go; left out: nowhere.

import { chromium } from 'playwright-core';
import axe from 'axe-core';

const { PAGE, CHROMIUM, SHOTS } = process.env;
const PATIENCE = 120_000;

function check(holds, what) {
  if (!holds) throw new Error(what);
}

async function accessible(page, where) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    const found = violations.map(one => `${one.id}: ${one.nodes.map(node => `${node.html} ${node.failureSummary}`).slice(0, 3).join('\n    ')}`);
    check(!found.length, `axe-core, ${where}, ${colorScheme}:\n  ${found.join('\n  ')}`);
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
}

async function fits(page, where) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(overflow <= 0, `${where}: the page is ${overflow} pixels wider than the screen`);
}

async function shot(page, name, colorScheme = 'light') {
  if (!SHOTS) return;
  await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
}

const action = start => `.keys button[value^="${start}"]`;

async function press(page, start) {
  await page.locator(action(start)).last().click({ timeout: PATIENCE });
}

// The pictures of the chat's newest message that shows some: the bot's, and `count`, each loaded.
async function pictures(page, count) {
  await page.waitForFunction(count => {
    const newest = [...document.querySelectorAll('#log .photos')].at(-1);
    if (!newest || newest.closest('.mine')) return false;
    const shown = [...newest.querySelectorAll('img')];
    return shown.length === count && shown.every(one => one.complete && one.naturalWidth > 0);
  }, count);
  return page.locator('#log .photos').last().locator('img');
}

// Pictures are whole, large enough to tell a face, inside their bubble, and each has a name of its own.
async function shown(page, pictures, where) {
  const boxes = await pictures.evaluateAll(all => all.map(one => {
    const { left, right, width, height } = one.getBoundingClientRect(), bubble = one.closest('.bubble').getBoundingClientRect();
    const inside = left >= bubble.left - 1 && right <= Math.min(bubble.right, innerWidth) + 1;
    const whole = Math.abs(width / height / (one.naturalWidth / one.naturalHeight) - 1) < 0.03;
    return { width, height, inside, whole, alt: one.alt };
  }));
  const seen = boxes.map(one => `${one.alt}: ${Math.round(one.width)}×${Math.round(one.height)}`).join(', ');
  check(boxes.every(one => one.inside), `${where}: pictures leave their bubble: ${seen}`);
  check(boxes.length === 1 || boxes.every(one => one.whole), `${where}: pictures are cut off: ${seen}`);
  check(boxes.every(one => one.width * one.height >= 10_000), `${where}: pictures are too small: ${seen}`);
  check(new Set(boxes.map(one => one.alt)).size === boxes.length, `${where}: pictures share a name: ${seen}`);
}

async function walk(browser) {
  const page = await browser.newPage({ viewport: { width: 1360, height: 860 }, locale: 'en-GB' });
  const faults = [];
  page.on('pageerror', error => faults.push(String(error)));
  page.setDefaultTimeout(PATIENCE);
  await page.goto(PAGE);

  await page.getByText('The whole system, on this machine').waitFor();
  await page.getByText('None yet.').waitFor();
  await accessible(page, 'the first screen');
  await shot(page, 'dev-first-screen');

  await page.locator('.intro .primary').click();
  await press(page, 'new:portrait');
  await press(page, 'gender:');
  await page.getByText('call the avatar').waitFor();
  await page.getByLabel('Message', { exact: true }).fill('Lisa');
  await page.keyboard.press('Enter');
  await page.getByText('different angles').last().waitFor();
  await page.getByRole('button', { name: 'Sample photos' }).click();
  await page.locator('#jobs tr[data-kind=store_photo][data-state=done]').first().waitFor();
  await page.getByText('12 photos loaded').waitFor();
  await page.locator(action('start:')).last().waitFor();
  await accessible(page, 'the photo card');

  for (const accident of ['drop_webhook', 'refuse_submit']) {
    await page.locator(`#accidents button[value=${accident}]`).click();
    await page.getByText('It strikes once').waitFor();
  }
  await press(page, 'start:');
  await page.locator('#trainings li[data-status=submitted]').waitFor();
  check(await page.getByText(/submitted 2 times/).count() === 1, 'the refused submit was not tried again');
  await page.locator('#accidents button[value=kill_worker]').click();
  await page.getByText('The worker was killed').waitFor();
  await shot(page, 'dev-training');
  await accessible(page, 'a training');

  await page.locator('#trainings li[data-status=completed]').waitFor();
  await page.locator('#jobs tr[data-kind=poll_status][data-state=done]').first().waitFor();
  await shown(page, await pictures(page, 4), 'the first pictures');
  await accessible(page, 'the first pictures');
  await shot(page, 'dev-pictures');

  await page.locator('#chips').getByText('/gallery').click();
  await page.locator(action('rename:')).waitFor();
  await shown(page, await pictures(page, 1), 'the gallery');
  await press(page, 'generate:');
  await page.locator('.keys button[value^="style:"][value$=":studio"]').click();
  await press(page, 'wordless:');
  await page.locator(action('make:')).waitFor();
  await press(page, 'make:');
  await page.locator(action('keep:')).first().waitFor();
  await shown(page, await pictures(page, 4), 'the album');
  await press(page, 'keep:');
  await page.locator('#toast.on').waitFor();
  await accessible(page, 'the end');
  await shot(page, 'dev-ready', 'dark');

  check(!faults.length, `errors in the page: ${faults.join('; ')}`);
  return page;
}

async function phone(browser) {
  const page = await browser.newPage({ viewport: { width: 390, height: 780 }, locale: 'en-GB' });
  page.setDefaultTimeout(PATIENCE);
  await page.goto(PAGE);
  await shown(page, await pictures(page, 4), 'the album at 390 pixels');
  for (const view of ['People', 'System', 'Chat']) {
    await page.getByRole('button', { name: view, exact: true }).click();
    await fits(page, `${view} at 390 pixels`);
    await accessible(page, `${view} at 390 pixels`);
    await shot(page, `dev-phone-${view.toLowerCase()}`);
  }
  await page.getByRole('button', { name: 'People', exact: true }).click();
  await page.getByLabel('Name of a new person').fill('Ben');
  await page.getByLabel('Add this person').click();
  await page.getByText('The whole system, on this machine').waitFor();
  await fits(page, 'the first screen at 390 pixels');
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
try {
  await walk(browser);
  await phone(browser);
  console.log('1 person came to an avatar and its pictures through the page, on a desk and on a phone, in light and dark');
} catch (error) {
  for (const [at, page] of browser.contexts().flatMap(context => context.pages()).entries()) {
    console.error(`page ${at} shows: ${(await page.locator('body').innerText()).slice(-3000)}`);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/failed-${at}.png` });
  }
  throw error;
} finally {
  await browser.close();
}
