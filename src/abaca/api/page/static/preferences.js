// Language and theme, which the browser keeps. Nothing else is stored.

const THEMES = ["auto", "light", "dark"];

function kept(name, allowed) {
  try {
    const value = localStorage.getItem(`abaca.${name}`);
    return allowed.includes(value) ? value : null;
  } catch {
    return null; // storage is switched off
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(`abaca.${name}`, value);
  } catch {
    // storage is switched off: it lasts as long as the page
  }
}

let theme = kept("theme", THEMES) ?? "auto";
let language =
  kept("language", ["en", "de"]) ?? (navigator.language?.startsWith("de") ? "de" : "en");

export const currentTheme = () => theme;
export const currentLanguage = () => language;

export function useTheme(chosen) {
  theme = chosen;
  keep("theme", chosen);
  apply();
}

export function useLanguage(chosen) {
  language = chosen;
  keep("language", chosen);
  apply();
}

export function apply() {
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = theme;
}
