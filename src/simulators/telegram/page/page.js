// The chat of the Telegram simulator. With `aisha dev`, /dev/panel.js adds the system beside it.
const $ = id => document.getElementById(id);
const el = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
let panel = null, me = null, chat = null, people = [], watch = null, lastMine = 0, seenEdits = new Map(), seenAnswers = new Set();

async function call(path, body, method = body ? 'POST' : 'GET', signal) {
  const form = body instanceof FormData;
  const answer = await fetch('/sim' + path, {
    method, signal, body: form || !body ? body : JSON.stringify(body),
    headers: form || !body ? {} : { 'content-type': 'application/json' },
  });
  const json = await answer.json();
  if (!answer.ok) { toast(json.error || answer.statusText); throw new Error(json.error); }
  return json;
}

function toast(text) {
  $('toast').textContent = text;
  $('toast').classList.add('on');
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => $('toast').classList.remove('on'), 4000);
}

const hue = id => `hsl(${id * 47 % 360} 50% 28%)`;
const clock = seconds => new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
const avatar = person => {
  const node = el('span', { className: 'avatar', textContent: person.first_name.slice(0, 1).toUpperCase() });
  node.style.background = hue(person.id);
  return node;
};

async function showPeople() {
  people = await call('/users');
  $('people').replaceChildren(...people.map(person => {
    const about = `${person.language_code || '–'} · ${person.id}${person.blocked ? ' · has blocked the bot' : ''}`;
    const button = el('button', { onclick: () => become(person.id) }, avatar(person),
      el('span', {}, person.first_name, el('small', { textContent: about })));
    button.setAttribute('aria-current', person.id === me);
    return button;
  }));
}

async function become(id) {
  document.querySelector('#views [data-view=chat]').click();
  me = id; chat = null; seenEdits = new Map(); seenAnswers = new Set();
  location.hash = id;
  await showPeople();
  if (watch) watch.abort();
  follow(id, watch = new AbortController());
}

async function follow(id, stop) {
  while (!stop.signal.aborted) {
    try {
      const since = chat ? `?since=${chat.version}&timeout=25` : '';
      const next = await call(`/chats/${id}${since}`, null, 'GET', stop.signal);
      if (stop.signal.aborted) return;
      const first = !chat;
      chat = next;
      show(first);
      if (!$('calls').hidden) showCalls();
    } catch (error) {
      if (stop.signal.aborted) return;
      $('doing').textContent = 'the simulator does not answer';
      await new Promise(again => setTimeout(again, 1500));
    }
  }
}

const tags = { bold: 'b', italic: 'i', underline: 'u', strikethrough: 's', code: 'code', pre: 'pre', blockquote: 'blockquote' };

// Telegram counts in UTF-16 units, and so does JavaScript.
function formatted(text, entities, from = 0, to = text.length) {
  const parts = [];
  let at = from, rest = entities.filter(one => one.offset >= from && one.offset + one.length <= to);
  while (rest.length) {
    const [entity] = rest, end = entity.offset + entity.length;
    rest = rest.slice(1);
    if (entity.offset < at) continue;
    parts.push(text.slice(at, entity.offset));
    const node = entity.type === 'text_link' ? el('a', { href: entity.url, target: '_blank', rel: 'noreferrer' })
      : entity.type === 'bot_command' ? el('a', { href: '#' + me, onclick: () => say(text.slice(entity.offset, end)) })
      : el(tags[entity.type] || 'span', { className: entity.type });
    node.append(...formatted(text, rest, entity.offset, end));
    parts.push(node);
    at = end;
  }
  parts.push(text.slice(at, to));
  return parts.filter(part => part !== '');
}

function keys(message) {
  const waiting = button => chat.callbacks.some(one => one.message_id === message.message_id && one.data === button.data && !one.answer);
  return el('div', { className: 'keys' }, ...message.buttons.map(row => el('div', {}, ...row.map(button => button.url
    ? el('a', { href: button.url, target: '_blank', rel: 'noreferrer', textContent: button.text + ' ↗' })
    : el('button', {
        textContent: button.text, className: waiting(button) ? 'waiting' : '', value: button.data,
        onclick: () => call(`/users/${me}/press`, { message_id: message.message_id, data: button.data }),
      })))));
}

// Rows of at most three, each picture whole: the pictures of a row are equally high, and no row is higher than 210 pixels.
function album(photos) {
  const links = photos.map(({ file_unique_id: id, width, height }, at) => {
    const alt = (photos.length > 1 ? `photo ${at + 1} of ${photos.length}, ` : 'photo ') + `${width}×${height}`;
    const link = el('a', { href: `/sim/files/${id}`, target: '_blank' }, el('img', { src: `/sim/files/${id}`, alt, width, height }));
    link.style.flexGrow = width / height;
    return link;
  });
  const count = Math.ceil(links.length / 3), start = row => Math.round(row * links.length / count);
  const rows = Array.from({ length: count }, (_, row) => links.slice(start(row), start(row + 1)));
  const box = el('div', { className: 'photos' }, ...rows.map(row => el('div', {}, ...row)));
  const narrowest = Math.min(...rows.map(row => row.reduce((sum, link) => sum + Number(link.style.flexGrow), 0)));
  if (links.length > 1) box.style.width = `${Math.min(460, 210 * narrowest)}px`;
  return box;
}

function bubble(messages) {
  const message = messages[0], texts = messages.filter(one => one.text);
  const photos = messages.filter(one => one.photo), files = messages.filter(one => one.document);
  const box = el('div', { className: 'bubble' });
  if (photos.length) box.append(album(photos.map(one => one.photo)));
  for (const { document: file } of files) {
    box.append(el('a', { className: 'file', href: `/sim/files/${file.file_unique_id}`, target: '_blank' }, el('i', { textContent: '⬇' }),
      el('span', {}, file.file_name, el('small', { textContent: `${(file.file_size / 1024).toFixed(0)} KB · ${file.mime_type}` }))));
  }
  for (const one of texts) box.append(el('span', { className: 'text' }, ...formatted(one.text, one.entities)));
  const meta = el('span', { className: 'meta' });
  if (message.deleted) meta.append('deleted ');
  if (message.edit_date) {
    const history = message.earlier.map(old => `${clock(old.date)}  ${old.text}`).join('\n');
    meta.append(el('span', { title: history, textContent: message.earlier.length > 1 ? `edited ×${message.earlier.length}` : 'edited' }), ' ');
    if (seenEdits.has(message.message_id) && seenEdits.get(message.message_id) < message.earlier.length) box.classList.add('flash');
  }
  seenEdits.set(message.message_id, message.earlier.length);
  box.append(meta);
  meta.append(clock(message.date));
  const row = el('div', { className: `row ${message.from_bot ? '' : 'mine'} ${message.deleted ? 'gone' : ''}` }, box);
  if (message.buttons.length && !message.deleted) row.append(keys(message));
  return row;
}

function show(first) {
  const log = $('log'), mine = chat.messages.findLast(message => !message.from_bot)?.message_id || 0;
  const toEnd = first || mine > lastMine || log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  lastMine = mine;
  const groups = [];
  for (const message of chat.messages) {
    const last = groups.at(-1);
    const together = message.media_group_id && last?.[0].media_group_id === message.media_group_id;
    together ? last.push(message) : groups.push([message]);
  }
  const rows = [];
  let day = '';
  for (const group of groups) {
    const today = new Date(group[0].date * 1000).toLocaleDateString([], { day: 'numeric', month: 'long' });
    if (today !== day) rows.push(el('div', { className: 'day', textContent: day = today }));
    rows.push(bubble(group));
  }
  if (!rows.length) rows.push(intro());
  log.replaceChildren(...rows);
  $('doing').textContent = chat.user.blocked ? 'blocked' : chat.action ? chat.action.replace('_', ' ') + '…' : 'bot';
  $('block').textContent = chat.user.blocked ? 'Unblock' : 'Block';
  $('language').value = chat.user.language_code || 'en';
  const labels = chat.keyboard.flat().map(button => button.text);
  const commands = (chat.commands || []).map(one => '/' + one.command);
  const samples = panel ? [el('button', { id: 'samples', textContent: '🖼️ Sample photos', onclick: () => panel.samples(me) })] : [];
  $('chips').replaceChildren(...samples, ...[...labels, ...commands].map(text => el('button', { textContent: text, onclick: () => say(text) })));
  // Last: the chips take height from the log.
  if (toEnd) log.scrollTop = log.scrollHeight;
  for (const one of chat.callbacks) {
    if (!one.answer || seenAnswers.has(one.id)) continue;
    seenAnswers.add(one.id);
    if (!first && one.answer.text) one.answer.show_alert ? alert(one.answer.text) : toast(one.answer.text);
  }
}

function intro() {
  const steps = panel ? [
    'Press Start, and answer the bot’s questions.',
    'When it asks for photos, press “Sample photos” below the chat, or send your own.',
    'Press “Start training” and watch the jobs. A training takes 20 seconds here and costs nothing.',
    'The first pictures come by themselves. Ask the bot for more, in a style that you like.',
    'Let something go wrong: drop a webhook, refuse a submit, kill the worker. The avatar is finished all the same.',
  ] : ['Press Start, or write to the bot. What it calls is shown under “API calls”.'];
  return el('div', { className: 'intro' },
    el('h2', { textContent: panel ? 'The whole system, on this machine' : 'You are a person in Telegram' }),
    el('p', { textContent: panel
      ? 'You are a person in Telegram, and the bot at the other end is the real one, with its workers and its database. Telegram and FAL are simulated: no message leaves this machine.'
      : 'This is a simulator: no message leaves this machine.' }),
    el('ol', {}, ...steps.map(text => el('li', { textContent: text }))),
    el('button', { className: 'primary', textContent: 'Start', onclick: () => say('/start') }));
}

async function showCalls() {
  const all = await call('/ledger');
  const calls = all.filter(one => one.method.toLowerCase() !== 'getupdates').slice(-60).reverse();
  $('calls').replaceChildren(...calls.map(one => {
    const bad = one.outcome !== 'answered' || one.status !== 200;
    const result = one.outcome === 'answered' ? one.status : one.outcome;
    const words = bad && one.answer?.description || one.params.text || one.params.caption || '';
    return el('p', { className: bad ? 'bad' : '', title: JSON.stringify(one, null, 1) },
      el('time', { textContent: clock(one.at) + ' ' }), el('b', { textContent: one.method }), ` ${result} ${words.slice(0, 70)}`);
  }));
}

const say = text => call(`/users/${me}/text`, { text });

async function upload(kind, files) {
  if (!files.length) return;
  const form = new FormData(), text = $('say').text.value.trim();
  if (text) form.append('caption', text);
  for (const file of files) form.append('file', file, file.name);
  $('say').text.value = '';
  await call(`/users/${me}/${kind}`, form);
}

function pick(kind, accept) {
  const input = el('input', { type: 'file', multiple: true, accept });
  input.onchange = () => upload(kind, [...input.files]);
  input.click();
}

$('photo').onclick = () => pick('photos', 'image/*');
$('file').onclick = () => pick('documents', '');
$('say').onsubmit = async event => {
  event.preventDefault();
  const text = $('say').text.value.trim();
  if (!text) return;
  $('say').text.value = '';
  await say(text);
};
$('say').text.onkeydown = event => {
  if (event.key === 'Enter' && !event.shiftKey) { event.preventDefault(); $('say').requestSubmit(); }
};
$('new').onsubmit = async event => {
  event.preventDefault();
  const form = event.target;
  const person = await call('/users', { first_name: form.name.value, language_code: form.language.value });
  form.reset();
  become(person.id);
};
$('language').onchange = async event => { await call('/users', { id: me, language_code: event.target.value }); showPeople(); };
$('block').onclick = async () => { await call(`/users/${me}/${chat.user.blocked ? 'unblock' : 'block'}`, {}); showPeople(); };
$('toggle').onclick = () => { $('calls').hidden = !$('calls').hidden; if (!$('calls').hidden) showCalls(); };
const main = $('chat');
main.ondragover = event => { event.preventDefault(); main.classList.add('drop'); };
main.ondragleave = () => main.classList.remove('drop');
main.ondrop = event => { event.preventDefault(); main.classList.remove('drop'); upload('photos', [...event.dataTransfer.files]); };

for (const button of $('views').children) {
  button.onclick = () => {
    document.body.dataset.view = button.dataset.view;
    for (const one of $('views').children) one.setAttribute('aria-pressed', one === button);
  };
}

(async () => {
  // Only `aisha dev` serves it; the simulator alone is a chat.
  if ((await fetch('/dev/panel.js', { method: 'HEAD' })).ok) {
    panel = (await import('/dev/panel.js')).open({ root: $('system'), el, toast });
    $('system').hidden = false;
    document.querySelector('#views [data-view=system]').hidden = false;
  }
  const wanted = Number(location.hash.slice(1));
  await showPeople();
  if (!people.length) await call('/users', { first_name: 'You', language_code: navigator.language.slice(0, 2) === 'ru' ? 'ru' : 'en' });
  await showPeople();
  const bot = await call('/bot');
  $('bot').textContent = bot.first_name;
  document.title = bot.first_name + ' · Telegram simulator';
  await become(people.some(person => person.id === wanted) ? wanted : people[0].id);
})();
