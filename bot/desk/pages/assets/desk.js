// The desk in the browser: clocks that tick, keys that press, lists that are walked, a sound for urgent calls.
// Nothing here decides anything; every act goes to the server.
(() => {
  'use strict';
  const desk = () => document.querySelector('.desk');
  let offset = null;

  const serverNow = () => {
    if (offset === null && desk()) offset = new Date(desk().dataset.now).getTime() - Date.now();
    return Date.now() + (offset || 0);
  };
  const words = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return `${s}秒`;
    if (s < 3600) return `${Math.floor(s / 60)}分${String(s % 60).padStart(2, '0')}秒`;
    if (s < 86400) return `${Math.floor(s / 3600)}小时${Math.floor((s % 3600) / 60)}分`;
    return `${Math.floor(s / 86400)}天${Math.floor((s % 86400) / 3600)}小时`;
  };
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  function tick() {
    const now = serverNow();
    for (const element of document.querySelectorAll('[data-since]')) {
      const waited = (now - new Date(element.dataset.since).getTime()) / 1000;
      write(element, `已等${words(waited)}`);
      const late = waited >= Number(element.dataset.late || Infinity);
      element.classList.toggle('late', late);
      element.classList.toggle('warn', !late && waited >= Number(element.dataset.warn || Infinity));
    }
    for (const element of document.querySelectorAll('[data-due]')) {
      const left = (new Date(element.dataset.due).getTime() - now) / 1000;
      element.dataset.said ||= element.textContent;
      write(element, left < 0 ? `${element.dataset.said}，已过${words(-left)}` : `${element.dataset.said}，还有${words(left)}`);
      element.classList.toggle('late', left < 0);
      element.classList.toggle('warn', left >= 0 && left < 600);
    }
    const count = Number(document.querySelector('[data-title-count]')?.textContent || 0);
    const title = document.title.replace(/^\(\d+\) /, '');
    const wanted = count ? `(${count}) ${title}` : title;
    if (document.title !== wanted) document.title = wanted;
    ring();
  }

  // A sound when a call comes, if the staff member wants it; remembered in this browser.
  let heard = 0;
  const loud = () => localStorage.getItem('desk-sound') !== 'off';
  function ring() {
    const calls = document.querySelectorAll('.call').length + document.querySelectorAll('[data-urgent="1"]').length;
    if (calls > heard && loud()) beep();
    heard = calls;
    const button = document.querySelector('[data-sound]');
    if (button) {
      write(button.querySelector('span'), loud() ? '提示音：开' : '提示音：关');
      button.setAttribute('aria-pressed', String(loud()));
    }
  }
  function beep() {
    try {
      const audio = new AudioContext();
      [0, 0.25].forEach((at) => {
        const tone = audio.createOscillator(), volume = audio.createGain();
        tone.frequency.value = 740; volume.gain.value = 0.08;
        tone.connect(volume).connect(audio.destination);
        tone.start(audio.currentTime + at); tone.stop(audio.currentTime + at + 0.15);
      });
      setTimeout(() => audio.close(), 1000);
    } catch { /* A browser without sound still shows the call. */ }
  }

  // Keys. A letter works outside of text fields, a function key everywhere; an open dialog keeps the keys to itself.
  const drawn = (element) => element.getClientRects().length > 0 && !element.disabled;
  // What lies folded away under 更多 answers to its key as well.
  const visible = (element) => drawn(element) || (!element.disabled && !!element.closest('.more-acts:not(.open)'));
  const typing = (element) => element && (element.isContentEditable || /^(TEXTAREA|SELECT)$/.test(element.tagName)
    || (element.tagName === 'INPUT' && !/^(button|checkbox|radio|submit)$/.test(element.type)));
  const scope = () => [...document.querySelectorAll('.q-dialog .ask')].filter(drawn).pop() || document;

  function press(key) {
    const near = document.activeElement?.closest?.('.row-slot, [data-row-group]');
    const match = `[data-key="${CSS.escape(key)}"]`;
    const element = [...(near ? near.querySelectorAll(match) : []), ...scope().querySelectorAll(match)].find(visible);
    if (!element) return false;
    const field = element.matches('input, textarea') ? element : element.querySelector('input, textarea');
    if (field) { field.focus(); field.select?.(); } else element.click();
    return true;
  }
  function walk(step) {
    const rows = [...document.querySelectorAll('[data-row]')].filter(drawn);
    if (!rows.length) return false;
    const slot = document.activeElement?.closest?.('.row-slot');
    const at = rows.findIndex((row) => row === document.activeElement || (slot && slot.contains(row)));
    const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
    next.focus(); next.scrollIntoView({ block: 'nearest' });
    return true;
  }
  let prefix = '', prefixAt = 0;
  document.addEventListener('keydown', (event) => {
    hand();
    if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = typing(document.activeElement);
    if (/^F\d+$/.test(event.key)) { if (press(event.key)) event.preventDefault(); return; }
    if (field) {
      if (event.key === 'Escape' && !document.querySelector('.q-dialog .ask')) document.activeElement.blur();
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (prefix && Date.now() - prefixAt < 1500) {
      const both = `${prefix} ${key}`; prefix = '';
      if (press(both)) event.preventDefault();
      return;
    }
    prefix = '';
    if (key === 'g' && scope() === document) { prefix = 'g'; prefixAt = Date.now(); return; }
    if (key === '?') { help(); event.preventDefault(); return; }
    if (key === 'j' || key === 'ArrowDown') { if (document.activeElement?.closest?.('[data-row], .row-slot') || key === 'j') { if (walk(1)) event.preventDefault(); } return; }
    if (key === 'k' || key === 'ArrowUp') { if (document.activeElement?.closest?.('[data-row], .row-slot') || key === 'k') { if (walk(-1)) event.preventDefault(); } return; }
    if ((key.length === 1 && key !== ' ') && press(key)) event.preventDefault();
  });

  function help() {
    document.querySelector('.help')?.remove();
    const seen = new Map();
    for (const element of document.querySelectorAll('[data-key]')) {
      if ((visible(element) || element.closest('.side-menu')) && element.dataset.key !== '?' && !seen.has(element.dataset.key)) seen.set(element.dataset.key, element.dataset.keyname);
    }
    const rows = [['?', '显示这张表'], ['j / k', '下一行、上一行'], ['回车', '打开选中的一行'], ['Esc', '离开输入框，关闭对话框'], ...seen];
    const dialog = document.createElement('dialog');
    dialog.className = 'help';
    dialog.innerHTML = '<h2>快捷键</h2><p class="soft small">不在输入框里时按字母键；“g q”是先按 g 再按 q。</p><dl></dl><form method="dialog"><button class="btn primary">关闭</button></form>';
    for (const [key, name] of rows) {
      const dt = document.createElement('dt'), dd = document.createElement('dd'), kbd = document.createElement('kbd');
      kbd.textContent = key; dd.textContent = name; dt.append(kbd);
      dialog.querySelector('dl').append(dt, dd);
    }
    document.body.append(dialog);
    dialog.addEventListener('close', () => dialog.remove());
    dialog.showModal();
  }
  document.addEventListener('click', (event) => {
    hand();
    if (event.target.closest('[data-help]')) help();
    const sound = event.target.closest('[data-sound]');
    if (sound) { localStorage.setItem('desk-sound', loud() ? 'off' : 'on'); ring(); if (loud()) beep(); }
    const folded = event.target.closest('.bubble.folded');
    if (folded) folded.classList.remove('folded');
  });
  document.addEventListener('pointermove', () => hand(), { passive: true });

  // The server counts somebody as present while they type or point (at most one word a minute).
  let handAt = 0;
  function hand() {
    if (Date.now() - handAt < 60000 || typeof window.emitEvent !== 'function') return;
    handAt = Date.now();
    try { window.emitEvent('desk_hand'); } catch { handAt = 0; }
  }

  // A transcript stays at its end unless somebody reads further up.
  const followed = new WeakSet();
  function follow() {
    for (const box of document.querySelectorAll('[data-follow]')) {
      if (followed.has(box)) continue;
      followed.add(box);
      let atEnd = true;
      box.addEventListener('scroll', () => { atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60; });
      const down = () => { if (atEnd) box.scrollTop = box.scrollHeight; };
      new MutationObserver(down).observe(box, { childList: true, subtree: true, characterData: true });
      down();
    }
  }
  setInterval(() => { tick(); follow(); }, 1000);
  // What is new on the page ticks at once, not a second later.
  let soon = 0;
  new MutationObserver(() => {
    follow();
    if (!soon) soon = setTimeout(() => { soon = 0; tick(); }, 50);
  }).observe(document.documentElement, { childList: true, subtree: true });
  document.addEventListener('DOMContentLoaded', tick);
})();
