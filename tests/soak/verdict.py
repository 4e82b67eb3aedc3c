"""What bench/soak concludes from what it saw. No I/O."""
import math
import statistics

MIB = 1 << 20
RSS_GROWTH = (0.05, 3 * MIB)  # of its mean, and beside that: over the last two thirds of the time with faults
FDS_GROWTH = (0.2, 20)
THREADS_GROWTH = (0.0, 3)     # look-ups of names come and go
WORDS = {'rss': 'RSS', 'fds': 'descriptors', 'threads': 'threads'}
LEFT = {'fds': 10, 'threads': 1}  # once the faults are over, beside those of the quiet time
P99_FACTOR, P99_LEAST = 2.0, 0.005  # s: below that the machine's own noise is more than what is measured
ENOUGH = 1000                 # requests of a kind for a p99 of its own to mean something
DRAIN_SECONDS = 35


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def growth(points):
    """By the straight line that fits (seconds, value) best: how much it rises over all of them."""
    if len(points) < 3:
        return 0.0
    slope = statistics.linear_regression(*zip(*points)).slope
    return slope * (points[-1][0] - points[0][0])


def late_bound(quiet, later):
    """p99 of both, and what the second may be."""
    calm = percentile(quiet, 0.99)
    return calm, percentile(later, 0.99), max(P99_FACTOR * calm, P99_LEAST)


def last_two_thirds(points):
    return points[len(points) // 3:]


def beyond_the_rate(passed, rate):
    """By how much the worst stretch of `passed`, the (begin, end) of each request that was let through, in order, is over what `rate` a
    second and as much at once allow."""
    worst, least = 0.0, math.inf
    for number, (began, ended) in enumerate(passed):
        least = min(least, number - rate * began)
        worst = max(worst, number + 1 - rate * ended - least - rate)
    return worst


def by_minute(seen, timed, began, seconds):
    """(minute, requests, p50, p99) of good traffic of the kinds that are timed."""
    rows = []
    for minute in range(int(seconds // 60) + 1):
        took = [one[2] for one in seen if one[1] in timed and one[3] is None and minute * 60 <= one[0] - began < (minute + 1) * 60]
        if took:
            rows.append((minute, len(took), percentile(took, 0.5), percentile(took, 0.99)))
    return rows


def share(samples, what, began, ended):
    """Of the time from `began` to `ended`, how much grew what `samples` have of `what`; in percent."""
    within = [one for one in samples if began <= one['at'] <= ended]
    if len(within) < 2:
        return 0.0
    return 100 * (within[-1][what] - within[0][what]) / (within[-1]['at'] - within[0]['at'])


def times(seen, kinds, bounds):
    """The seconds that good requests of `kinds` took, of those that began within `bounds`."""
    return [took for at, kind, took, wrong in seen if kind in kinds and wrong is None and bounds[0] <= at < bounds[1]]


class Rules:
    """`lines` is the verdict; `broken` has what does not hold, `skipped` counts what could not be judged."""

    def __init__(self):
        self.lines, self.broken, self.skipped = [], [], 0

    def rule(self, holds, what):
        self.lines.append(f'{"holds " if holds else "BROKEN"}  {what}')
        if not holds:
            self.broken.append(what)

    def left_out(self, what):
        self.lines.append(f'left out  {what}')
        self.skipped += 1

    def between(self, what, value, least, most):
        self.rule(least <= value <= most, f'{what}: {value:g}, {least:g} to {most:g}')

    def none(self, what, count):
        self.rule(count == 0, f'{what}: {count}')

    def flat(self, what, samples, bounds, unit=1, name=''):
        """By `samples` of all phases; judged is the time with faults."""
        quiet, rest = ([one[what] / unit for one in samples if one['phase'] == phase] for phase in ('quiet', 'rest'))
        points = last_two_thirds([(one['at'], one[what] / unit) for one in samples if one['phase'] == 'faults'])
        if not (points and quiet and rest):
            self.rule(False, f'{WORDS[what]}: no samples')
            return
        rise, most = growth(points), bounds[0] * statistics.mean(value for _, value in points) + bounds[1] / unit
        seconds = points[-1][0] - points[0][0]
        self.rule(rise <= most, f'{WORDS[what]} flat: {rise:+.1f}{name} in the last {seconds:.0f} s with faults, at most {most:+.1f}{name} '
                                f'(at the end of the quiet time {quiet[-1]:.1f}{name}, once all was over {rest[-1]:.1f}{name})')

    def comes_back(self, what, samples):
        quiet, rest = (max(one[what] for one in part) for part in ([one for one in samples if one['phase'] == 'quiet'], samples[-1:]))
        self.rule(rest <= quiet + LEFT[what], f'{WORDS[what]} once all was over: {rest}, at most {quiet + LEFT[what]}')

    def latency(self, what, quiet, later, without=None):
        """Is p99 within its bound? `without` is (quiet, later) of the same traffic without proxyd: where that is late too, the machine is.
        With too few requests, or none of that, it is only told."""
        calm, now, most = late_bound(quiet, later)
        words = f'p99 of {what} {now * 1000:.2f} ms, quiet {calm * 1000:.2f} ms'
        if not without or min(len(quiet), len(later)) < ENOUGH:
            self.lines.append(f'told    {words}; of {len(quiet)} requests')
            return
        _, bare, most_bare = late_bound(*without)
        if now > most and bare > most_bare:
            self.left_out(f'{words}: the machine is too busy, it is {bare * 1000:.2f} ms without proxyd, at most {most_bare * 1000:.2f} ms')
        else:
            self.rule(now <= most, f'{words}; at most {most * 1000:.2f} ms')
