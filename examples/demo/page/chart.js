// A line over the last minute, as inline SVG. Owns the content of its <svg>.
const NAMESPACE = 'http://www.w3.org/2000/svg';
const POINTS = 60;
const WIDTH = 300;
const HEIGHT = 80;
const TOP = 14;

export class Chart {
  #svg;
  #values = [];
  #area;
  #line;
  #title;
  #format;

  /** `format` makes the label of a value. */
  constructor(svg, format) {
    this.#svg = svg;
    this.#title = svg.getAttribute('aria-label');
    this.#format = format;
    svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute('preserveAspectRatio', 'none');
    const base = this.#add('line', 'base');
    for (const [name, value] of Object.entries({ x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 })) {
      base.setAttribute(name, value);
    }
    this.#area = this.#add('path', 'area');
    this.#line = this.#add('path', 'line');
    this.#line.setAttribute('vector-effect', 'non-scaling-stroke');
  }

  /** Draws the line with one more value; returns the largest of those shown. */
  push(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) {
      this.#values.shift();
    }
    const most = Math.max(...this.#values);
    const points = this.#values.map((each, i) => {
      const x = WIDTH - ((this.#values.length - 1 - i) * WIDTH) / (POINTS - 1);
      const y = HEIGHT - 1 - (most === 0 ? 0 : (each / most) * (HEIGHT - TOP));
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    const first = points[0].split(',')[0];
    // The first point twice: a single one is a dot then.
    this.#line.setAttribute('d', `M${[points[0], ...points].join('L')}`);
    this.#area.setAttribute('d', `M${first},${HEIGHT}L${points.join('L')}L${WIDTH},${HEIGHT}Z`);
    this.#svg.setAttribute('aria-label', `${this.#title}: now ${this.#format(value)}, at most ${this.#format(most)}`);
    return most;
  }

  #add(name, className) {
    const element = document.createElementNS(NAMESPACE, name);
    element.setAttribute('class', className);
    this.#svg.append(element);
    return element;
  }
}
