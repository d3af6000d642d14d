// The samples of the last two minutes.

export const SPAN_MS = 120000;
export const ALL = "";

const QUIET = { requests: 0, failures: 0, tokens: 0, rows: null, padding: null, waiting: 0, busy: 0, ms: {} };

/** What a version is known by on this page. */
export function keyOf(version) {
  return `${version.version} ${version.name}`;
}

export class History {
  #samples = [];

  /** Take what the server has kept in place of what is here. */
  replace(samples) {
    this.#samples = samples.map(indexed);
  }

  add(sample) {
    this.#samples.push(indexed(sample));
    const oldest = sample.at_ms - SPAN_MS;
    while (this.#samples[0].atMs < oldest) this.#samples.shift();
  }

  get nowMs() {
    return this.#samples.at(-1)?.atMs ?? 0;
  }

  get isEmpty() {
    return this.#samples.length === 0;
  }

  /** The last figures of a version, or of all. */
  last(key) {
    return this.#samples.at(-1)?.figures(key) ?? QUIET;
  }

  /** Points of a curve: [ms, value], null where there was none. */
  curve(key, pick) {
    return this.#samples.map((sample) => [sample.atMs, pick(sample.figures(key)) ?? null]);
  }

  /** The last value there was within some seconds: a second without a batch says nothing. */
  recent(key, pick, ms = 5000) {
    for (let place = this.#samples.length - 1; place >= 0; place--) {
      const sample = this.#samples[place];
      if (sample.atMs < this.nowMs - ms) return null;
      const value = pick(sample.figures(key)) ?? null;
      if (value !== null) return value;
    }
    return null;
  }
}

function indexed(sample) {
  const versions = new Map(sample.versions.map((version) => [keyOf(version), version]));
  return {
    atMs: sample.at_ms,
    figures: (key) => (key === ALL ? sample.all : (versions.get(key) ?? QUIET)),
  };
}
