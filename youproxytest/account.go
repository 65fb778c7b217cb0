package youproxytest

import (
	"slices"

	"github.com/youproxy-go/youproxy"
)

// account is what the server keeps. The mutex of the server guards it.
type account struct {
	balance    youproxy.Money
	promoCodes map[string]int // percent off
	orders     []Order
}

func newAccount() account {
	return account{
		balance:    youproxy.MustMoney("100 USD"),
		promoCodes: make(map[string]int),
	}
}

// Balance gives what the account holds.
func (s *Server) Balance() youproxy.Money {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.balance
}

// SetBalance sets what the account holds. Prices are in the same currency.
func (s *Server) SetBalance(m youproxy.Money) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.balance = m
}

// Orders gives the orders that were executed, oldest first.
func (s *Server) Orders() []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.account.orders)
}

// funds is what replies say of the account; both are null in its zero value.
type funds struct {
	balance  number
	currency *string
}

func (s *Server) funds() funds {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.funds()
}

func (a *account) funds() funds {
	currency := a.balance.Currency
	return funds{exact(a.balance.Amount), &currency}
}

type balanceReply struct {
	Success      bool     `json:"success"`
	Balance      number   `json:"balance"`
	CurrencyCode *string  `json:"currencyCode"`
	Error        *refusal `json:"error"`
}

func (s *Server) readBalance([]byte) (any, error) {
	left := s.funds()
	return balanceReply{true, left.balance, left.currency, nil}, nil
}

func refuseBalance(left funds, why *refusal) any {
	return balanceReply{false, left.balance, left.currency, why}
}
