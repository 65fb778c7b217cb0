// Package filejournal keeps the journal of a youproxy.Client in a file, for the
// processes of one machine.
//
//	j, err := filejournal.Open("/var/lib/shop/youproxy.jsonl")
//	client, err := youproxy.New(key, youproxy.WithJournal(j))
//
// # The file
//
// It holds one JSON object per line, a [youproxy.Entry]. A later line replaces an
// earlier one with the same attempt id. An entry, shortened and wrapped:
//
//	{"attempt":{"version":2,"id":"9f86d081884c7d65","key":"invoice 17","at":"2026-03-01T12:00:00Z",
//	 "op":"POST /order","proxyType":"IPv4","rentPeriodDays":30,"price":"4.57 USD","limit":"5 USD",
//	 "quantity":1,"before":{"balance":"10 USD"}},"state":"executed",
//	 "settledAt":"2026-03-01T12:00:02Z","orderNumber":"NUMBER-112233","orderId":"4711"}
//
// To print all entries, the open ones, and all lines of one key:
//
//	jq -sc 'reduce .[] as $e ({}; .[$e.attempt.id] = $e) | .[]' youproxy.jsonl
//	jq -sc 'reduce .[] as $e ({}; .[$e.attempt.id] = $e) | .[] | select(.state == "open")' youproxy.jsonl
//	grep '"key":"invoice 17"' youproxy.jsonl
//
// To correct the file by hand, stop all programs that use it first. It holds no
// secrets, but it is private: a new file has the mode 0600.
//
// Two more files lie beside it. The one that ends in .lock is empty, and locked by
// whoever spends; it must not be deleted while a program runs. The one that ends in
// .new exists while the file is compacted, or if that was interrupted, and may be
// deleted when no program runs. All processes need write access to the folder.
//
// # What a crash leaves
//
// The system releases the lock when the process ends, however it ends.
//
//   - Before the first record: nothing was written and nothing sent.
//   - While it was written: the last line is incomplete. It is ignored, and removed by the
//     next process that takes the lock. (If only the end of the line is missing, it is
//     completed, and the entry is open.) Nothing was sent.
//   - After the record, before the request was sent or its reply had come: the entry
//     is open, and stops the next purchase until a client finds out what happened.
//   - After the reply, before the settling record or while it was written: likewise.
//   - During compaction: the old file or the new one is there, each of them complete.
//
// A record is on the disk before Record returns: the file is synced, and so is its
// folder where the file is new. (Windows has no means to sync a folder.) If the disk
// is full, Record returns an error and the earlier entries stay readable.
//
// Any other line that cannot be read is an error, which names the file and the line.
// No entry is skipped, because a skipped one might be a purchase made twice.
//
// # Compaction
//
// When more than half of the file is no longer needed, the next holder of the lock
// writes the file anew. It leaves out replaced lines, entries without a key that were
// settled more than 400 days ago, and what the account held before a settled attempt,
// as soon as that is of no use. Open entries and entries with a key stay for good.
// Where the new file cannot be written, for example because the disk is full, the old
// one stays in use.
//
// # Limits
//
// The file must be on a local disk. Network file systems, such as NFS and SMB, do not
// lock and sync reliably; machines that share an account need a database.
package filejournal
