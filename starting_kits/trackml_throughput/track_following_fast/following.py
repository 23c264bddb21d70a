"""From pairs of hits to tracks: a helix is followed from layer to layer and takes the best hit of each."""

from typing import NamedTuple

import numpy as np
from helix import (
    PT_TIMES_CURVATURE,
    Helix,
    circle_of,
    distances,
    field_at,
    keep_curved,
    learn,
    move,
    scatter,
    spread_of_hit,
    start_helix,
    step_in_circle,
    to_cylinder,
    to_disk,
    turned_round,
)
from hitgrid import TURN, find_near, slice_of
from kernel import kernel

LONGEST = 28  # hits on a track; more are not looked for
MOST_OVERLAPS = 4  # hits of a track on one layer: modules overlap at edges and corners
NEAREST = 4  # layers ahead that are tried before a track is given up
WIDEST = 30.0  # mm: half of the largest window
BEAM_SIGMAS = 3.5  # how far from the beam's centre tracks are looked for
PIPE_SCATTERING = 0.03  # mm GeV
SURE = 40.0  # evidence that leaves no doubt about a candidate
FORGET = 20.0  # on the way back a helix starts with variances larger by this


class Cuts(NamedTuple):
    """What one pass over the event looks for."""

    pt_min: float  # GeV
    beam_radius: float  # mm: how closely the tracks come from the beam line
    beam_length: float  # mm along the beam line: the spread of where they come from, beyond that of the beam
    window: float  # half of the window searched for hits, in standard deviations
    chi2_hit: float  # the largest chi-square of a hit, and of the pair that starts a track
    chi2_overlap: float  # the same for further hits on one layer, where modules overlap
    holes: int  # how many layers without a hit a track may cross
    hole_cost: float  # how much each of them speaks against it
    shortest: int  # hits of a track
    evidence: float  # the least that must speak for a candidate, see `evidence`


@kernel
def crossings(h, layers, layer, path, ahead):
    """Fill `ahead` with the next layers that the helix crosses, nearest first; `path`: the arcs to them."""
    n = 0
    half_turn = np.pi / abs(h.curvature)
    circle = circle_of(h, field_at(layers.field, h.z))
    for k in range(layers.next_layers.shape[1]):
        new = layers.next_layers[layer, k]
        if new < 0:
            break
        position = layers.position[new]
        s = to_disk(h, position) if layers.is_disk[new] else to_cylinder(circle, position)
        if s <= 0.0 or s > half_turn:
            continue
        if layers.is_disk[new]:
            half, chord = step_in_circle(h.curvature * field_at(layers.field, 0.5 * (h.z + position)), s)
            along = np.hypot(h.x + chord * np.cos(h.phi + half), h.y + chord * np.sin(h.phi + half))
        else:
            along = h.z + h.slope * s
        if along < layers.low[new] - 5.0 or along > layers.high[new] + 5.0:
            continue
        place = min(n, NEAREST)
        while place > 0 and path[place - 1] > s:
            if place < NEAREST:
                path[place], ahead[place] = path[place - 1], ahead[place - 1]
            place -= 1
        if place < NEAREST:
            path[place], ahead[place] = s, new
        n = min(n + 1, NEAREST)
    return n


@kernel
def search(h, hits, layers, used, layer, cuts, found):
    """Fill `found` with the free hits near the point where the helix crosses a layer; return their number."""
    across2, z2 = spread_of_hit(layers, layer, h)
    across = min(cuts.window * np.sqrt(h.dd + across2), WIDEST)
    up = min(cuts.window * np.sqrt(h.zz + z2), 2 * WIDEST)
    radius = np.hypot(h.x, h.y)
    cosine = abs(h.x * np.cos(h.phi) + h.y * np.sin(h.phi)) / radius
    cosine = min(max(cosine, 0.1), 1.0)
    sine = np.sqrt(1 - cosine * cosine)
    slope = max(abs(h.slope), 1e-3)
    if layers.is_disk[layer]:
        forward = min((up + layers.depth[layer]) / slope, 2 * WIDEST)
        along, middle = across * sine + forward * cosine, radius
        aside = across * cosine + forward * sine
    else:
        along, middle = up + slope * (layers.depth[layer] + across * sine) / cosine, h.z
        aside = (across + layers.depth[layer] * sine) / cosine
    return find_near(
        hits, layers, used, layer, np.arctan2(h.y, h.x), aside / radius, middle - along, middle + along, found
    )


@kernel
def shares_module(hit, others, hits):
    """Return whether a hit lies on the same module of its layer as one of the others."""
    found = False
    for i in others:
        found |= hits.module[hit] == hits.module[i]
    return found


@kernel
def best_hit(h, hits, layers, layer, found, n_found, taken, mine):
    """Return which of the hits found costs least and what it costs; -1 and infinity if there is none.

    A hit on a module of one of the hits `taken` does not come into question; one that is `mine` comes first.
    """
    best, least, kept = -1, np.inf, False
    across2, z2 = spread_of_hit(layers, layer, h)
    for i in found[:n_found]:
        if shares_module(i, taken, hits):
            continue
        _, left, up = distances(h, hits.x[i], hits.y[i], hits.z[i], layers.field)
        chi2 = left * left / (h.dd + across2) + up * up / (h.zz + z2)
        if (chi2 < least and mine[i] == kept) or (mine[i] and not kept):
            best, least, kept = i, chi2, mine[i]
    return best, least


@kernel
def evidence(h, hits, layers, layer, chi2):
    """Return how much a hit speaks for the helix: twice the logarithm of a likelihood ratio.

    The ratio is that of the hit's density around the helix, a normal distribution, to the density of all
    hits there: a hit close to a well known helix says much, one in a wide window says nothing.
    """
    across2, z2 = spread_of_hit(layers, layer, h)
    radius = np.hypot(h.x, h.y)
    if layers.is_disk[layer]:
        density = hits.density[layer, slice_of(radius, layers.low[layer], layers.high[layer])] / abs(h.slope)
    else:
        cosine = abs(h.x * np.cos(h.phi) + h.y * np.sin(h.phi)) / radius
        density = hits.density[layer, slice_of(h.z, layers.low[layer], layers.high[layer])] / max(cosine, 0.1)
    return -chi2 - np.log((2 * np.pi * density) ** 2 * (h.dd + across2) * (h.zz + z2))


@kernel
def take(h, hits, layers, layer, hit):
    """Return the helix corrected by a hit, and what the hit costs."""
    across2, z2 = spread_of_hit(layers, layer, h)
    return learn(h, hits.x[hit], hits.y[hit], hits.z[hit], across2, z2, layers.field)


@kernel
def follow(h, layer, hits, layers, used, mine, cuts, outwards, track, n, found):
    """Follow a helix from a layer on and append hits to `track`.

    Returns the helix at its end, the layer there, the number of hits and the gain: the evidence of all hits
    less the costs of holes.
    """
    gain, holes, earned = 0.0, 0, 0.0
    path, ahead = np.empty(NEAREST), np.empty(NEAREST, np.int64)
    while n < LONGEST:
        n_ahead = crossings(h, layers, layer, path, ahead)
        hit, missed = -1, 0
        for k in range(n_ahead):
            new = ahead[k]
            at = move(h, path[k], layers.field)
            n_found = search(at, hits, layers, used, new, cuts, found)
            hit, chi2 = best_hit(at, hits, layers, new, found, n_found, track[n:n], mine)
            if hit >= 0 and chi2 < cuts.chi2_hit:
                earned = evidence(at, hits, layers, new, chi2)
                if earned > 0.0 or mine[hit]:
                    break
            hit = -1
            along = np.hypot(at.x, at.y) if layers.is_disk[new] else at.z
            if layers.low[new] + 3.0 < along < layers.high[new] - 3.0:
                missed += 1
            if holes + missed > cuts.holes:
                break
        if hit < 0:
            break
        holes += missed
        gain -= cuts.hole_cost * missed
        h, chi2 = take(at, hits, layers, new, hit)
        gain += earned
        track[n] = hit
        n += 1
        first = n - 1
        while n < LONGEST and n - first < MOST_OVERLAPS:
            more, chi2 = best_hit(h, hits, layers, new, found, n_found, track[first:n], mine)
            if not chi2 <= cuts.chi2_overlap:
                break
            gain += evidence(h, hits, layers, new, chi2)
            h, chi2 = take(h, hits, layers, new, more)
            track[n] = more
            n += 1
        h = scatter(h, layers, new, outwards)
        layer = new
    return h, layer, n, gain


@kernel
def partners(i, second, hits, layers, used, cuts, found):
    """Fill `found` with the hits of the layer `second` that a track from the beam through hit i may have."""
    radius, z = np.hypot(hits.x[i], hits.y[i]), hits.z[i]
    length = BEAM_SIGMAS * cuts.beam_length
    position = layers.position[second]
    # Seen along the beam line the arc is longer than the radius: 1.05 leaves room for that.
    if layers.is_disk[second]:
        flown, to_fly = (z - length, position - z) if position > z else (-z - length, z - position)
        low = radius * (1 + to_fly / (flown + 2 * length)) / 1.05 if flown + 2 * length > 0 else np.inf
        high = radius * (1 + to_fly / flown) * 1.02 + 1.0 if flown > 0 else layers.high[second]
        high = min(high, layers.high[second])
        outer = high
    else:
        far = 1.05 * (position - radius) / radius
        low, high = z + (z - length) * far - 1.0, z + (z + length) * far + 1.0
        outer = position
    if low > high:
        return 0
    bend = 0.5 * PT_TIMES_CURVATURE / cuts.pt_min
    width = np.arcsin(min(bend * outer, 1.0)) - np.arcsin(min(bend * radius, 1.0))
    width += BEAM_SIGMAS * cuts.beam_radius * abs(1 / radius - 1 / outer) + 1e-3
    return find_near(hits, layers, used, second, hits.azimuth[i], width, low, high, found)


@kernel
def start_pair(i, j, hits, layers, cuts):
    """Return the helix behind hit j that comes from the beam line through hits i and j, and their chi-square.

    The chi-square is infinite if the two do not make a track that the pass looks for.
    """
    x1, y1, x2, y2 = hits.x[i], hits.y[i], hits.x[j], hits.y[j]
    r1, r2 = np.hypot(x1, y1), np.hypot(x2, y2)
    bend = (x1 * y2 - y1 * x2) / (r1 * r2 * np.hypot(x2 - x1, y2 - y1))
    bend = keep_curved(bend)
    curvature = 2 * bend / field_at(layers.field, 0.5 * hits.z[j])
    limit = 1.2 * PT_TIMES_CURVATURE / cuts.pt_min + 2 * BEAM_SIGMAS * cuts.beam_radius / (r1 * r2)
    valid = abs(curvature) < limit and abs(bend) * max(r1, r2) < 0.95 and r2 > r1
    s1, s2 = (np.arcsin(bend * r1) / bend, np.arcsin(bend * r2) / bend) if valid else (0.0, 1.0)
    slope = (hits.z[j] - hits.z[i]) / (s2 - s1)
    valid = valid and abs(hits.z[i] - slope * s1) < BEAM_SIGMAS * cuts.beam_length
    # The wall of the beam pipe scatters as well, so that slow tracks seem to miss the beam line.
    sigma = cuts.beam_radius + PIPE_SCATTERING * abs(curvature) / PT_TIMES_CURVATURE
    h = start_helix(0.0, 0.0, 0.0, hits.azimuth[j] - bend * s2, curvature, slope, sigma, cuts.beam_length)
    if not valid:
        return h, np.inf
    h, chi2_first = take(move(h, s1, layers.field), hits, layers, hits.layer[i], i)
    h = scatter(h, layers, hits.layer[i], True)
    h, chi2_second = take(move(h, s2 - s1, layers.field), hits, layers, hits.layer[j], j)
    return scatter(h, layers, hits.layer[j], True), chi2_first + chi2_second


@kernel
def find_candidates(pairs, share, shares, hits, layers, used, cuts, tracks, lengths, gains, ends):
    """Follow all pairs of free hits whose first hit lies in one of `shares` sectors; return the number kept.

    A hit on a candidate beyond doubt starts no other. Row k of `tracks` is filled with the hits of
    candidate k, `lengths` with their number, `gains` with its gain and `ends` with the helix at its last
    hit. When they are full, the search ends.
    """
    found, third = np.empty(256, np.int64), np.empty(256, np.int64)
    mine = np.zeros(len(hits.x), np.bool_)
    sure = np.zeros(len(hits.x), np.bool_)
    n = 0
    for p in range(len(pairs)):
        first, second = pairs[p, 0], pairs[p, 1]
        for i in range(hits.start[hits.first_cell[first]], hits.start[hits.first_cell[first + 1]]):
            if used[i] or sure[i] or int(hits.azimuth[i] / TURN * shares) != share:
                continue
            n_found = partners(i, second, hits, layers, used, cuts, found)
            for j in found[:n_found]:
                if n == len(tracks):
                    return n
                if sure[j]:
                    continue
                if sure[i]:
                    break
                h, chi2 = start_pair(i, j, hits, layers, cuts)
                if not chi2 <= cuts.chi2_hit:
                    continue
                track = tracks[n]
                track[0], track[1] = i, j
                h, _, length, gain = follow(h, second, hits, layers, used, mine, cuts, True, track, 2, third)
                if length >= cuts.shortest and gain - chi2 > cuts.evidence:
                    lengths[n] = length
                    gains[n] = gain - chi2
                    for k in range(len(h)):
                        ends[n, k] = h[k]
                    for k in track[:length]:
                        sure[k] |= gains[n] > SURE
                    n += 1
    return n


@kernel
def restored(e):
    """Return the helix of a row of `ends`."""
    return Helix(
        e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7], e[8], e[9], e[10], e[11], e[12], e[13], e[14]
    )


@kernel
def choose(order, tracks, lengths, ends, hits, layers_inwards, used, cuts, labels, next_label):
    """Give hits to candidates, the best first: each is followed back inwards among the free hits.

    The way back starts from all that the way out has learnt, so it finds hits that the seed passed by: in
    front of it, in holes, and on modules that overlap. Returns the next free label.
    """
    track, found = np.empty(LONGEST, np.int64), np.empty(256, np.int64)
    mine = np.zeros(len(hits.x), np.bool_)
    for c in order:
        free = 0
        for i in tracks[c, : lengths[c]]:
            free += used[i] == 0
        if free < cuts.shortest or 2 * free <= lengths[c]:
            continue
        last = tracks[c, lengths[c] - 1]
        layer = hits.layer[last]
        h = turned_round(restored(ends[c]), FORGET)
        n = 0
        for i in tracks[c, max(lengths[c] - 2, 0) : lengths[c]][::-1]:
            if hits.layer[i] == layer and not used[i]:
                h, _ = take(h, hits, layers_inwards, layer, i)
                track[n] = i
                n += 1
        for i in tracks[c, : lengths[c]]:
            mine[i] = True
        h = scatter(h, layers_inwards, layer, False)
        h, _, n, _ = follow(h, layer, hits, layers_inwards, used, mine, cuts, False, track, n, found)
        for i in tracks[c, : lengths[c]]:
            mine[i] = False
        if n < cuts.shortest:
            continue
        for i in track[:n]:
            used[i] = True
            labels[hits.row[i]] = next_label
        next_label += 1
    return next_label
