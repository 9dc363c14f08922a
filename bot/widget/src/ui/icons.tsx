/** ChatUI's Icon refers to symbols by id; these are the ones we use, drawn on a grid of 24. */

const PATHS: Record<string, string> = {
  "chevron-down": "M6 9.5l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 7.5v9M7.5 12h9M12 3.2a8.8 8.8 0 100 17.6 8.8 8.8 0 000-17.6z",
  person: "M4.5 13v-1.5a7.5 7.5 0 0115 0V13M4.5 13.2c0-.7.5-1.2 1.2-1.2h1.1c.6 0 1.1.5 1.1 1.100v4c0 .6-.5 1.1-1.1 1.100H5.700c-.7 0-1.2-.5-1.2-1.200zM19.5 13.200c0-.7-.5-1.2-1.2-1.200h-1.100c-.6 0-1.1.5-1.1 1.100v4c0 .6.5 1.1 1.1 1.100h1.100c.7 0 1.2-.5 1.2-1.200zM18 18.300c-.6 1.6-2 2.5-4.2 2.5",
  chat: "M12 4c4.9 0 8.7 3.2 8.7 7.200s-3.8 7.2-8.7 7.200c-1 0-2-.1-2.9-.4L5 20.300l.9-3.700c-1.6-1.3-2.6-3.2-2.6-5.400C3.3 7.2 7.1 4 12 4zM8.3 11.200h.01M12 11.200h.01M15.7 11.200h.01",
  image: "M4 5.500h16v13H4zM4 16l4.5-4.5 3.5 3.5 3-3 5 4.500M9 9.300h.01",
  file: "M6.5 3.500h7.500l4 4v13H6.500zM14 3.500v4h4",
  camera: "M4 8h3.500l1.5-2.500h6L16.5 8H20v11H4zM12 10.300a3 3 0 100 6 3 3 0 000-6z",
  search: "M10.5 4.500a6 6 0 100 12 6 6 0 000-12zM15 15l5 5",
  star: "M12 3.800l2.5 5.2 5.7.8-4.1 4 1 5.7-5.1-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8z",
  phone: "M6.5 4h3l1.5 4-2 1.500a11 11 0 005.5 5.500l1.5-2 4 1.500v3c0 1-.8 1.8-1.8 1.700C10.5 18.6 5.4 13.5 4.8 5.8 4.7 4.8 5.5 4 6.5 4z",
  check: "M5 12.500l4.5 4.500L19 7.5",
  shield: "M12 3.500l7 2.500v5.500c0 4.3-2.9 7.5-7 9-4.1-1.5-7-4.7-7-9V6z",
  up: "M8 11v8.500H4.500V11zM8 11l3.5-7c1.5 0 2.3 1 2 2.500L13 9.500h4.800c1.2 0 2 1 1.7 2.200l-1.4 6c-.2 1-1.1 1.8-2.2 1.800H8",
  down: "M16 13V4.500h3.500V13zM16 13l-3.5 7c-1.5 0-2.3-1-2-2.500l.5-3H6.200c-1.2 0-2-1-1.7-2.200l1.4-6c.2-1 1.1-1.8 2.2-1.800H16",
};

/** Put once into the shadow root: a reference finds only what is in the same tree. */
export function IconSprite() {
  return (
    <svg class="sprite" aria-hidden="true" focusable="false">
      {Object.entries(PATHS).map(([name, path]) => (
        <symbol id={`icon-${name}`} key={name} viewBox="0 0 24 24">
          <path d={path} fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" />
        </symbol>
      ))}
    </svg>
  );
}
