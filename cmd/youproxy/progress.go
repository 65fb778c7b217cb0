package main

import (
	"fmt"
	"io"
	"strings"
)

// progress shows the progress of long work on a terminal.
type progress struct {
	w    io.Writer // nil for none
	last string
}

// newProgress returns a progress that shows nothing without a terminal.
func (a *app) newProgress() *progress {
	if !a.live {
		return &progress{}
	}
	return &progress{w: a.err}
}

const barWidth = 30

func (p *progress) show(done, total int) {
	if p.w == nil {
		return
	}
	full := barWidth * done / max(total, 1)
	p.last = fmt.Sprintf("[%s%s] %d of %d", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), done, total)
	_, _ = fmt.Fprint(p.w, "\r"+p.last)
}

// end removes the bar.
func (p *progress) end() {
	if p.last != "" {
		_, _ = fmt.Fprint(p.w, "\r"+strings.Repeat(" ", len(p.last))+"\r")
	}
}
