'use strict';
(() => {
    const element = (id) => document.getElementById(id);
    const tools = element('tools'), search = element('search'), failed = element('failed'), found = element('found');
    const attempts = [...document.querySelectorAll('details.attempt')];
    const MOST = 1000;
    let ranges = [], here = -1;

    // Where `pattern` matches in the text of an attempt, across the borders of its elements.
    const matches = (attempt, pattern, room) => {
        const nodes = [], walker = document.createTreeWalker(attempt, NodeFilter.SHOW_TEXT);
        let text = '';
        while (walker.nextNode()) {
            nodes.push([text.length, walker.currentNode]);
            text += walker.currentNode.data;
        }
        const made = [];
        let at = 0;
        const place = (offset) => {
            while (at + 1 < nodes.length && nodes[at + 1][0] <= offset) at += 1;
            return [nodes[at][1], offset - nodes[at][0]];
        };
        for (const match of text.matchAll(pattern)) {
            if (made.length === room) break;
            const range = new Range();
            range.setStart(...place(match.index));
            range.setEnd(...place(match.index + match[0].length - 1));
            range.setEnd(range.endContainer, range.endOffset + 1);
            made.push(range);
        }
        return made;
    };

    const highlight = (name, wanted) => {
        if (!window.Highlight) return;
        const mark = new Highlight(...wanted);
        mark.priority = name === 'here' ? 1 : 0;
        CSS.highlights.set(name, mark);
    };

    const show = () => {
        const words = search.value.trim();
        const pattern = new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'giu');
        let shown = 0;
        ranges = [];
        here = -1;
        for (const attempt of attempts) {
            const own = words ? matches(attempt, pattern, MOST - ranges.length) : [];
            const cut = words && ranges.length === MOST;
            const fits = !words || own.length > 0 || cut && attempt.textContent.search(pattern) >= 0;
            attempt.hidden = !fits || failed.checked && attempt.matches('.ok, .running');
            if (attempt.hidden) continue;
            shown += 1;
            if (own.length) attempt.open = true;
            ranges.push(...own);
        }
        highlight('found', ranges);
        highlight('here', []);
        const count = ranges.length === MOST ? `${MOST} or more` : ranges.length;
        found.value = words ? `${count} found in ${shown} of ${attempts.length} attempts` :
            failed.checked ? `${shown} of ${attempts.length} attempts` : '';
    };

    const go = (step) => {
        if (!ranges.length) return;
        here = (here + step + ranges.length) % ranges.length;
        const range = ranges[here], box = range.startContainer.parentElement.closest('pre');
        if (box) box.scrollTop += range.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2;
        window.scrollBy(0, range.getBoundingClientRect().top - window.innerHeight / 2);
        highlight('here', [range]);
        found.value = `${here + 1} of ${ranges.length === MOST ? `${MOST} or more` : ranges.length}`;
    };

    let waiting;
    search.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(show, 150); });
    search.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') { event.preventDefault(); go(event.shiftKey ? -1 : 1); }
    });
    failed.addEventListener('change', show);

    const unfold = () => {
        const attempt = element(location.hash.slice(1));
        if (attempt instanceof HTMLDetailsElement) { attempt.hidden = false; attempt.open = true; attempt.scrollIntoView(); }
    };
    window.addEventListener('hashchange', unfold);
    unfold();

    // On paper nothing can be unfolded.
    let folded = [];
    window.addEventListener('beforeprint', () => {
        folded = attempts.filter((attempt) => !attempt.open);
        folded.forEach((attempt) => { attempt.open = true; });
    });
    window.addEventListener('afterprint', () => folded.forEach((attempt) => { attempt.open = false; }));

    tools.hidden = false;
    element('timeline').scrollLeft = element('timeline').scrollWidth;
})();
