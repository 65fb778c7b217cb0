package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// progress shows how far the check is: a bar on a terminal, otherwise lines.
type progress struct {
	w        io.Writer
	terminal bool
	last     string
}

func newProgress(w io.Writer) *progress { return &progress{w: w, terminal: isTerminal(w)} }

// isTerminal reports whether w is a terminal, or another device of characters.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const barWidth = 30

// show is called once for each proxy that is done.
func (p *progress) show(done, total int) {
	const most = 10 // lines
	switch {
	case p.terminal:
		full := barWidth * done / total
		p.last = fmt.Sprintf("[%s%s] %d of %d", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), done, total)
		_, _ = fmt.Fprint(p.w, "\r"+p.last)
	case done*most/total > (done-1)*most/total:
		printer{p.w}.line("fetch: %d of %d proxies tried", done, total)
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p.last != "" {
		_, _ = fmt.Fprint(p.w, "\r"+strings.Repeat(" ", len(p.last))+"\r")
	}
}
