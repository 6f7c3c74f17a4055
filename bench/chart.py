# SPDX-License-Identifier: MIT
"""A bar chart of ratios to peal, as SVG: a line of panels for each workload, one panel for each number of threads."""

import math
import statistics
import textwrap
from html import escape

from report import scaled

COLORS = {'peal': '#1b1b1b', 'serial': '#9e9e9e', 'tbb': '#0072b2', 'openmp': '#56b4e9', 'asio': '#009e73', 'go': '#e69f00',
          'tokio': '#d55e00', 'rayon': '#cc79a7'}

MARGIN = 16
LETTERS = 170   # in a line of the caption
PANEL = 470     # width of a panel
NAMES = 56      # of it: names of peers
FIGURES = 118   # and figures, behind the bars
BAR = 13        # height of a peer
GAP = 30        # between lines: the title of the next


class Axis:
    """Ratios on a logarithmic scale, the same for all panels."""

    def __init__(self, ratios, width):
        self.low = math.floor(math.log10(min([*ratios, 0.5])) * 2) / 2
        self.high = math.ceil(math.log10(max([*ratios, 2])) * 2) / 2
        self.width = width

    def at(self, ratio):
        return (math.log10(ratio) - self.low) / (self.high - self.low) * self.width

    def marks(self):
        return [10**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def text(x, y, words, anchor='start', more=''):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, color):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def panel(group, axis, x, y):
    """The bars of a group: from 1 to the median of the ratios, a line from the least to the greatest, and the figures."""
    first = group[0]
    threads = '1 thread' if first.threads == 1 else f'{first.threads} threads'
    drawn = [text(x, y - 5, f'{first.workload}, {threads}, per {first.unit}', more='font-weight="bold"')]
    bars = x + NAMES
    bottom = y + BAR * len(group)
    for mark in axis.marks():
        at = bars + axis.at(mark)
        drawn.append(line(at, y, at, bottom, '#888888' if mark == 1 else '#dddddd'))
        drawn.append(text(at, bottom + 8, f'{mark:g}', 'middle', 'font-size="8" fill="#777777"'))
    for index, case in enumerate(group):
        ratios = case.ratios(first)
        ratio = statistics.median(ratios)
        middle = y + BAR * (index + 0.5)
        ends = sorted([bars + axis.at(1), bars + axis.at(ratio)])
        color = COLORS[case.peer]
        drawn.append(text(bars - 5, middle + 4, case.peer, 'end'))
        drawn.append(f'<rect x="{ends[0] - 1:.1f}" y="{middle - 4:.1f}" width="{ends[1] - ends[0] + 2:.1f}" height="8" fill="{color}"/>')
        drawn.append(line(bars + axis.at(min(ratios)), middle, bars + axis.at(max(ratios)), middle, '#000000'))
        drawn.append(text(x + PANEL - 52, middle + 4, scaled(statistics.median(case.ns_per_item) / 1e9), 'end'))
        drawn.append(text(x + PANEL - 4, middle + 4, f'{ratio:.2f} x', 'end'))
    return drawn


def draw(groups, caption):
    """`groups`: of comparison.Case, the first of peal. `caption`: lines."""
    lines = {}  # of panels: one for each workload
    for group in groups:
        lines.setdefault(group[0].workload, []).append(group)
    columns = sorted({group[0].threads for group in groups})
    axis = Axis([ratio for group in groups for case in group for ratio in case.ratios(group[0])], PANEL - NAMES - FIGURES)

    width = 2 * MARGIN + len(columns) * PANEL + (len(columns) - 1) * MARGIN
    y = MARGIN + 8
    drawn = [text(MARGIN, y, 'Time per item as a multiple of peal\'s, logarithmic: bars to the left are faster, to the right slower',
                  more='font-size="15" font-weight="bold"')]
    for words in caption + ['Bar: median of the rounds; thin line: least and greatest.']:
        for part in textwrap.wrap(words, LETTERS):
            y += 13
            drawn.append(text(MARGIN, y, part, more='fill="#555555" font-size="10"'))
    y += GAP
    for panels in lines.values():
        for group in panels:
            drawn += panel(group, axis, MARGIN + columns.index(group[0].threads) * (PANEL + MARGIN), y)
        y += BAR * max(map(len, panels)) + GAP
    return '\n'.join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y:.0f}" viewBox="0 0 {width} {y:.0f}" '
                      'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="#ffffff"/>', *drawn,
                      '</svg>', ''])
