package youproxytest

import (
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

// account is the state of the server. The mutex of the server guards it, and
// [Server.look] returns it.
type account struct {
	now        time.Time // the time up to which everything has happened
	balance    youproxy.Money
	promoCodes []*promoCode
	prices     map[youproxy.ProxyType]decimal.Decimal // that differ from the tariffs
	extensions []Extension

	orders   []*placedOrder // oldest first
	byNumber map[youproxy.OrderNumber]*placedOrder
	byID     map[youproxy.OrderID]*placedOrder
	ips      map[youproxy.IPAddressID]*IPAddress // by their present ids
	ids      int                                 // of proxies, used so far
	hosts    int                                 // used so far

	proxies *proxies // nil where they do not work

	nextRenewal time.Time // no later than the first one; zero where there is none

	provisioningDelay    time.Duration
	shape                listShape
	extensionEnd         func(end time.Time, days int) time.Time
	renewedIDs           bool
	pricePerProxy        bool
	totalBesidePrice     bool
	nullBalances         bool
	orderIDsInAutoExtend bool
	rotatesByLink        bool
}

func newAccount() account {
	return account{
		prices:       make(map[youproxy.ProxyType]decimal.Decimal),
		balance:      youproxy.MustMoney("100 USD"),
		byNumber:     make(map[youproxy.OrderNumber]*placedOrder),
		byID:         make(map[youproxy.OrderID]*placedOrder),
		ips:          make(map[youproxy.IPAddressID]*IPAddress),
		shape:        ListShape{}.compile(),
		extensionEnd: afterDays,
	}
}

// look returns the account as it is now, after everything that was due has happened. The
// caller holds mu.
func (s *Server) look() *account { return s.lookAt(s.now()) }

// lookAt returns the account as it is at a time.
func (s *Server) lookAt(now time.Time) *account {
	for len(s.late) > 0 && !s.late[0].at.After(now) {
		next := s.late[0]
		s.late = s.late[1:]
		s.account.advance(next.at)
		_, _ = endpoints[next.call.op].answer(&s.account, next.call)
	}
	s.account.advance(now)
	return &s.account
}

// advance moves the account on to a time, and makes the renewals that are due until then.
func (a *account) advance(to time.Time) {
	for {
		due := a.dueBy(to)
		if len(due) == 0 {
			break
		}
		a.now = due[0].End
		a.renew(due)
	}
	a.now = to
}

// Balance returns the balance of the account.
func (s *Server) Balance() youproxy.Money {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look().balance
}

// SetBalance sets the balance of the account. Prices are in the same currency.
func (s *Server) SetBalance(m youproxy.Money) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.look()
	s.keepChange(a, setBalance, m)(true)
	a.balance = m
}

// WithNullBalances makes "balance" null in quotes, and "balance" and "currency" null
// in refusals. The service documents both forms for refusals.
func WithNullBalances() Option {
	return func(s *Server) { s.account.nullBalances = true }
}

// funds is the balance in replies; both fields are null in its zero value.
type funds struct {
	balance  number
	currency *string
}

func (a *account) funds() funds {
	currency := a.balance.Currency
	return funds{exact(a.balance.Amount), &currency}
}

// fundsOfRefusal returns the balance for a refusal.
func (a *account) fundsOfRefusal() funds {
	if a.nullBalances {
		return funds{}
	}
	return a.funds()
}

// spend subtracts a price from the balance.
func (a *account) spend(p price) {
	a.balance.Amount = a.balance.Amount.Sub(p.total)
	if p.promoCode != nil {
		p.promoCode.uses++
	}
}

type balanceReply struct {
	Success      bool     `json:"success"`
	Balance      number   `json:"balance"`
	CurrencyCode *string  `json:"currencyCode"`
	Error        *refusal `json:"error"`
}

func readBalance(a *account, _ *call) (any, error) {
	left := a.funds()
	return balanceReply{true, left.balance, left.currency, nil}, nil
}

func refuseBalance(_ *account, left funds, why *refusal) any {
	return balanceReply{false, left.balance, left.currency, why}
}
