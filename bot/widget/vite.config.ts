import { defineConfig } from "vite";

/** What ChatUI's style sheets must be rid of before they may live in a shadow root. */
const intoShadowRoot = {
  postcssPlugin: "into-shadow-root",
  Once(root: any) {
    // A font of another host would be an outside request.
    root.walkAtRules("font-face", (rule: any) => rule.remove());
    root.walkRules((rule: any) => {
      // Nothing in a shadow root matches :root; its variables belong on the host element.
      rule.selector = rule.selector.replace(/:root\[([^\]]*)\]/g, ":host([$1])").replace(/:root/g, ":host");
    });
    root.walkDecls((declaration: any) => {
      // rem is the size of the page around us; ours is the variable that 大字 changes.
      declaration.value = declaration.value.replace(/(-?(?:\d*\.)?\d+)rem\b/g, "calc($1 * var(--rem))");
    });
  },
};

export default defineConfig({
  resolve: {
    alias: [
      // The package's "browser" entry is one block that cannot be shaken.
      { find: /^@chatui\/core$/, replacement: "@chatui/core/es/index.js" },
      { find: "react/jsx-runtime", replacement: "preact/jsx-runtime" },
      { find: "react-dom", replacement: "preact/compat" },
      { find: /^react$/, replacement: "preact/compat" },
    ],
  },
  css: { postcss: { plugins: [intoShadowRoot as any] } },
  define: { "process.env.NODE_ENV": '"production"' },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2020",
    lib: { entry: "src/main.tsx", formats: ["iife"], name: "HotlineWidget", fileName: () => "widget.js" },
    modulePreload: false,
    reportCompressedSize: true,
    rolldownOptions: {
      // ChatUI's index brings polyfills and every component along; none of them does anything by being there.
      treeshake: { moduleSideEffects: (id: string) => !/chatui|core-js|intersection-observer/.test(id) },
    },
  },
});
