/** The folder of the project, from the sources and from what they are compiled to (dist/scripts). */
export const ROOT = new URL(import.meta.url.endsWith('.ts') ? '../' : '../../', import.meta.url);
