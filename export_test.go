package youproxy

import "time"

// What tests see of the journal in memory.
const (
	MostKeys      = mostKeys
	MostRemaining = mostRemaining
)

// NewMemoryJournal makes a journal such as a client has by default.
func NewMemoryJournal() Journal { return newMemoryJournal() }

// JournalOf returns the journal of a client.
func JournalOf(c *Client) Journal { return c.core().ledger.journal }

// KeptOf tells how many entries the journal in memory of a client has, and how many charges
// for a budget.
func KeptOf(c *Client) (entries, charges int) {
	m := c.core().ledger.journal.(*memoryJournal)
	return len(m.all), len(m.spent)
}

// OpenOf tells how many attempts a client watches, and how many entries it owes its journal.
func OpenOf(c *Client) (watched, owed int) {
	l := c.core().ledger
	return len(l.vigils), len(l.owed)
}

// SumOf returns what counts in a budget.
func SumOf(j Journal, since time.Time, currency string) (Money, error) {
	return j.(*memoryJournal).sum(since, currency)
}

// KeepFor lets a journal in memory keep what a budget needs.
func KeepFor(j Journal, per time.Duration) { j.(*memoryJournal).keep(per) }

// ParseDate reads a date.
func ParseDate(text string) (t time.Time, zoned bool) { return parseDate(text) }
