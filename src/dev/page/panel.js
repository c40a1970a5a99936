// The system beside the chat: trainings and jobs as they move, and accidents at a tap.

const ACCIDENTS = [
  ['drop_webhook', 'Drop FAL’s next webhook', 'Polling finds the end of the training.'],
  ['refuse_submit', 'Refuse the next submit', 'FAL answers 429, too many requests; the job tries again 3 seconds later.'],
  ['lose_submit', 'Lose the answer to the next submit', 'FAL has the request and we do not know. It is found, not paid twice.'],
  ['telegram_busy', 'Telegram asks to wait 5 seconds', 'The next message comes later, once.'],
  ['kill_worker', 'Kill the worker', 'Its jobs are rescued when their leases end, 15 seconds later.'],
];
const PAUSE = 700;

export function open({ root, el, toast }) {
  document.head.append(el('link', { rel: 'stylesheet', href: '/dev/panel.css' }));
  const said = el('p', { id: 'said', role: 'status' });
  const trainings = el('ul', { id: 'trainings' });
  const rows = el('tbody', { id: 'jobs' });
  const heads = ['Job', 'State', 'Seconds'].map(text => el('th', { scope: 'col', textContent: text }));

  async function post(path) {
    const answer = await fetch('/dev' + path, { method: 'POST' });
    const { error } = await answer.json();
    if (error) throw new Error(error);
  }

  const accidents = ACCIDENTS.map(([name, title, then]) => {
    const button = el('button', { value: name }, title, el('small', { textContent: then }));
    button.onclick = async () => {
      button.disabled = true;
      try {
        await post('/accidents/' + name);
        said.className = '';
        said.textContent = name === 'kill_worker' ? 'The worker was killed, and another one started.' : `Ready: “${title}”. It strikes once.`;
      } catch (error) {
        said.className = 'bad';
        said.textContent = error.message;
      }
      button.disabled = false;
    };
    return button;
  });

  root.append(
    el('h2', { textContent: 'Let something go wrong' }),
    el('div', { id: 'accidents' }, ...accidents), said,
    el('h2', { textContent: 'Trainings' }), trainings,
    el('h2', { textContent: 'Jobs' }),
    el('p', { textContent: 'Each step is a row in Postgres, the newest on top. A job that fails or loses its worker runs again.' }),
    el('table', {}, el('thead', {}, el('tr', {}, ...heads)), rows));

  let newest = 0;
  function show({ jobs, trainings: known }) {
    trainings.replaceChildren(...known.map(one => {
      const words = `${one.name}: ${one.status}${one.attempts > 1 ? `, submitted ${one.attempts} times` : ''}`;
      const bar = el('progress', { max: 100, value: one.status === 'completed' ? 100 : one.progress });
      bar.setAttribute('aria-label', `Progress of ${one.name}`);
      const item = el('li', {}, words, bar);
      item.dataset.status = one.status;
      return item;
    }));
    if (!known.length) trainings.append(el('li', { textContent: 'None yet.' }));
    rows.replaceChildren(...jobs.map(job => {
      const again = job.attempt > 1 ? `run ${job.attempt} times` : job.snoozes ? `put off ${job.snoozes} times` : '';
      const note = [again, job.state !== 'done' && job.error].filter(Boolean).join(' · ').slice(0, 90);
      const about = el('td', {}, job.kind.replaceAll('_', ' '));
      if (note) about.append(el('small', { textContent: note }));
      const row = el('tr', { className: job.id > newest && newest ? 'new' : '' }, about,
        el('td', {}, el('span', { className: 'state ' + job.state, textContent: job.state })),
        el('td', { textContent: job.seconds.toFixed(1) }));
      row.dataset.kind = job.kind;
      row.dataset.state = job.state;
      return row;
    }));
    newest = jobs[0]?.id || 0;
  }

  (async () => {
    for (;;) {
      if (!document.hidden) {
        try {
          const answer = await fetch('/dev/state');
          if (answer.ok) show(await answer.json());
        } catch { /* It is stopped; the chat says so. */ }
      }
      await new Promise(again => setTimeout(again, PAUSE));
    }
  })();

  return { samples: person => post('/photos/' + person).catch(error => toast(error.message)) };
}
