package youproxytest

import (
	"time"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

// account is what the server keeps. The mutex of the server guards it, and
// [Server.look] returns it.
type account struct {
	now        time.Time // the moment it is at
	balance    youproxy.Money
	promoCodes []*promoCode
	prices     map[youproxy.ProxyType]decimal.Decimal // that are not those of the tariff
	extensions []Extension

	orders   []*placedOrder // as they came
	byNumber map[youproxy.OrderNumber]*placedOrder
	byID     map[youproxy.OrderID]*placedOrder
	ips      map[youproxy.IPAddressID]*IPAddress // by the ids they have now
	ids      int                                 // of proxies, given out so far
	hosts    int                                 // given out so far

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

// look returns the account as it is now, after all that was to happen in the
// meantime. The caller holds mu.
func (s *Server) look() *account { return s.lookAt(s.now()) }

// lookAt returns the account as it is at a moment.
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

// advance brings the account to a moment, with the renewals until then.
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

// funds is what replies say of the account; both are null in its zero value.
type funds struct {
	balance  number
	currency *string
}

func (a *account) funds() funds {
	currency := a.balance.Currency
	return funds{exact(a.balance.Amount), &currency}
}

// fundsOfRefusal returns what a refusal says of the account.
func (a *account) fundsOfRefusal() funds {
	if a.nullBalances {
		return funds{}
	}
	return a.funds()
}

// spend takes a price off the balance.
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
