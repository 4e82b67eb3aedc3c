"""Several ways to do one thing, measured in turns: rounds, medians, ratios to the first way, and the table of them."""
import statistics


class Turns:
    """What is measured gives, for each way and round: cpu and speed in the units of `counts`, busy (the part of its core that
    the proxy had), p50_us and p99_us."""

    def __init__(self, options, place):
        self.options, self.place = options, place
        self.proxy_core, self.load_core = options.cores
        self.counts, self.rows = None, []

    def interleave(self, ways, once):
        """Each way once a round, another one first each time; `once(way, part)` does that part of a round's work. A short one
        of each goes ahead, which does not count."""
        rounds = {way.name: [] for way in ways}
        for way in ways:
            once(way, 1 / 8)
        for number in range(self.options.rounds):
            first = number % len(ways)
            for way in ways[first:] + ways[:first]:
                rounds[way.name].append(once(way, 1))
        return rounds

    def heading(self, counts):
        """Where another thing is counted than in the row before."""
        if counts is self.counts:
            return
        self.counts = counts
        late = f'{"p50, us":>10}{"p99, us":>10}' if counts.get('late', True) else ''
        print(f'\n{counts["title"]:16}{"at":>7}{"":15}{counts["cpu"]:>20}{"ratio":>7}{"best":>7}{"busy":>6}'
            f'{counts["speed"]:>12}{"ratio":>7}{"best":>7}{late}')

    def show(self, case, at, rounds):
        counts = case['counts']
        self.heading(counts)
        base = next(iter(rounds.values()))
        label = f'{case["name"]:16}{at:>7}  '
        for name, own in rounds.items():
            row = {key: statistics.median(one[key] for one in own) for key in own[0]}
            row['speed_ratio'] = statistics.median(b['speed'] / a['speed'] for a, b in zip(base, own))
            row['speed_best_ratio'] = max(b['speed'] for b in own) / max(a['speed'] for a in base)
            if row['cpu']:
                row['cpu_ratio'] = statistics.median(b['cpu'] / a['cpu'] for a, b in zip(base, own))
                row['cpu_best_ratio'] = min(b['cpu'] for b in own) / min(a['cpu'] for a in base)
            self.rows.append({**case, 'counts': counts['title'], 'proxy': name, **row, 'rounds': own})
            cpu = f'{row["cpu"]:>20.1f}{row["cpu_ratio"]:>7.2f}{row["cpu_best_ratio"]:>7.2f}{row["busy"]:>6.0%}' \
                if row['cpu'] else ' ' * 40
            late = f'{row["p50_us"]:>10.0f}{row["p99_us"]:>10.0f}' if counts.get('late', True) else ''
            print(f'{label}{name:13}{cpu}{row["speed"]:>12.0f}{row["speed_ratio"]:>7.2f}{row["speed_best_ratio"]:>7.2f}{late}',
                flush=True)
            label = ' ' * len(label)
