"""Energy flow polynomials (Komiske, Metodiev and Thaler, arXiv:1712.07124) up to a given degree.

Each belongs to a multigraph: a sum over all choices of one constituent for every vertex, of the product of
their shares z of the jet's pT and, for every edge, of the distance of the two constituents it joins:

    EFP = sum_i1 ... sum_iN  z_i1 ... z_iN  prod_(k, l) theta_ik_il

The degree is the number of edges. Graphs in several pieces are products of those in one piece.
"""

from itertools import combinations, permutations

import numpy as np

MOST_CONSTITUENTS = 80
JETS_AT_ONCE = 250


def connected_graphs(degree):
    """Return all connected multigraphs with 1 to `degree` edges, each a sorted tuple of pairs of vertices."""
    graphs = [[((0, 1),)]]
    for _ in range(1, degree):
        larger = set()
        for graph in graphs[-1]:
            n = 1 + max(map(max, graph))
            # One more edge, either between two vertices or from one to a new vertex.
            larger |= {standard((*graph, edge)) for edge in combinations(range(n + 1), 2)}
        graphs.append(sorted(larger))
    return [graph for same_degree in graphs for graph in same_degree]


def standard(graph):
    """Return the graph with its vertices numbered so that equal graphs are equal tuples."""
    n = 1 + max(map(max, graph))
    orders = permutations(range(n))
    return min(tuple(sorted(tuple(sorted((order[a], order[b]))) for a, b in graph)) for order in orders)


def products(graphs, degree, first=0):
    """Return all choices of graphs, tuples of their numbers, that have at most `degree` edges together."""
    chosen = []
    for i in range(first, len(graphs)):
        left = degree - len(graphs[i])
        if left >= 0:
            chosen += [(i,), *((i, *others) for others in products(graphs, left, i))]
    return chosen


def value(graph, z, theta_powers):
    """Return the polynomial of a connected graph for jets with shares z, shape (jets, constituents).

    `theta_powers[k]` are the k-th powers of the distances, shape (jets, constituents, constituents). Sums
    are done vertex by vertex, those with fewest neighbours first, which takes the cube of the number of
    constituents. A graph of up to five edges always has a vertex with at most two neighbours.
    """
    at = dict.fromkeys({vertex for edge in graph for vertex in edge}, z)
    between = {edge: theta_powers[graph.count(edge)] for edge in set(graph)}
    while len(at) > 1:
        near = {v: [a + b - v for a, b in between if v in (a, b)] for v in at}
        v = min(at, key=lambda vertex: len(near[vertex]))
        ends = [(u, from_to(between, u, v)) for u in near[v]]
        shares = at.pop(v)
        between = {edge: matrix for edge, matrix in between.items() if v not in edge}
        if len(ends) == 1:
            [(u, matrix)] = ends
            at[u] = at[u] * (matrix @ shares[:, :, None])[:, :, 0]
        else:
            [(u, first), (w, second)] = sorted(ends, key=lambda end: end[0])
            path = (first * shares[:, None, :]) @ second.transpose(0, 2, 1)
            between[u, w] = between[u, w] * path if (u, w) in between else path
    return sum(at.values()).sum(axis=1)


def from_to(between, u, v):
    """Return the matrix of an edge with u along its rows."""
    return between[u, v] if u < v else between[v, u].transpose(0, 2, 1)


def polynomials(jets, graphs, beta):
    """Return the polynomials of the connected graphs for all jets, shape (jets, graphs).

    Distances are (dy^2 + dphi^2)^(beta / 2). Only the hardest MOST_CONSTITUENTS of a jet are used.
    """
    result = np.zeros((len(jets), len(graphs)))
    degree = max(map(len, graphs))
    # Jets of similar size at a time, so that little of the padding is computed.
    order = np.argsort(jets.counts, kind="stable")
    for rows in np.split(order, range(JETS_AT_ONCE, len(order), JETS_AT_ONCE)):
        part = jets[rows]
        p = part.padded(min(MOST_CONSTITUENTS, max(1, part.counts.max(initial=0))))
        pt = np.hypot(p[..., 1], p[..., 2])
        safe = np.where(pt > 0, pt, 1)
        y, phi = np.arcsinh(p[..., 3] / safe), np.arctan2(p[..., 2], p[..., 1])
        dphi = (phi[:, :, None] - phi[:, None] + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(
            np.pi
        )
        theta = np.hypot(y[:, :, None] - y[:, None], dphi) ** np.float32(beta)
        powers = [None, theta]
        for _ in range(1, degree):
            powers.append(powers[-1] * theta)
        total = pt.sum(axis=1, keepdims=True)
        z = pt / np.where(total > 0, total, 1)
        result[rows] = np.column_stack([value(graph, z, powers) for graph in graphs])
    return result
