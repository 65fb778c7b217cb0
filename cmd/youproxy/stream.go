package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// stream prints rows as they arrive: in columns on a terminal, in lines with tabs between
// the values elsewhere, as CSV, or as a JSON array of their values.
type stream struct {
	out     *bufio.Writer
	csv     *csv.Writer       // nil for another form
	columns *tabwriter.Writer // nil for another form
	json    bool

	rows int
	err  error // the first
}

// columnsFit is after how many rows the columns of a table may change their widths.
const columnsFit = 200

func (a *app) newStream(head ...string) *stream {
	s := &stream{out: bufio.NewWriter(a.out)}
	switch {
	case a.output == "json":
		s.json = true
	case a.output == "csv":
		s.csv = csv.NewWriter(s.out)
		s.err = s.csv.Write(head)
	case a.tty:
		s.columns = tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
		s.err = writeLine(s.columns, head)
	}
	return s
}

// add prints a row, or in JSON value.
func (s *stream) add(value any, row ...any) error {
	if !s.json {
		t := &table{}
		t.add(row...)
		return s.write(t.rows[0])
	}
	text, err := toJSON(value, "")
	if s.err == nil {
		s.err = err
	}
	before := ",\n  "
	if s.rows == 0 {
		before = "[\n  "
	}
	s.rows++
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.out, "%s%s", before, text)
	}
	return s.err
}

// write prints a row of strings.
func (s *stream) write(row []string) error {
	s.rows++
	switch {
	case s.err != nil:
	case s.csv != nil:
		shown := make([]string, len(row))
		for i, value := range row {
			shown[i] = plain(value)
		}
		s.err = s.csv.Write(shown)
	case s.columns == nil:
		s.err = writeLine(s.out, row)
	default:
		s.err = writeLine(s.columns, row)
		if s.err == nil && s.rows%columnsFit == 0 {
			s.err = s.columns.Flush()
		}
	}
	return s.err
}

// end writes what is buffered. It closes a JSON array only if err is nil, so that half a
// list is not valid JSON. It returns err, or what went wrong in the stream.
func (s *stream) end(err error) error {
	if s.csv != nil {
		s.csv.Flush()
	}
	if s.columns != nil && s.err == nil {
		s.err = s.columns.Flush()
	}
	if s.json && s.err == nil && err == nil {
		if s.rows == 0 {
			_, s.err = s.out.WriteString("[")
		}
		_, s.err = s.out.WriteString("\n]\n")
	}
	if flushErr := s.out.Flush(); s.err == nil {
		s.err = flushErr
	}
	if err != nil {
		return err
	}
	return s.err
}

// writeLine writes values with tabs between them, and a dash for an empty one.
func writeLine(w io.Writer, row []string) error {
	shown := make([]string, len(row))
	for i, value := range row {
		if shown[i] = plain(value); value == "" {
			shown[i] = "-"
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(shown, "\t"))
	return err
}
