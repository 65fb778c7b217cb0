package youproxytest

import (
	"slices"

	"github.com/shopspring/decimal"

	"github.com/youproxy-go/youproxy"
)

// What the server sells. The rent periods are close to those of the
// documentation; every type is sold for 30 days.
var (
	proxyTypes = []youproxy.ProxyType{
		youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP,
	}
	tariffs = map[youproxy.ProxyType]struct {
		price decimal.Decimal // of one proxy for 30 days
		days  []int
	}{
		youproxy.ProxyTypeIPv4:   {decimal.RequireFromString("1.31"), []int{30, 60, 90, 180, 360}},
		youproxy.ProxyTypeIPv6:   {decimal.RequireFromString("0.27"), []int{30, 90, 180, 360}},
		youproxy.ProxyTypeMobile: {decimal.RequireFromString("18.50"), []int{30, 360}},
		youproxy.ProxyTypeISP:    {decimal.RequireFromString("2.40"), []int{30, 60, 90, 180, 360}},
	}
	countries = []country{
		{"USA", "United States"},
		{"DEU", "Germany"},
		{"GBR", "United Kingdom"},
		{"FRA", "France"},
		{"NLD", "Netherlands"},
	}
	operators = []operator{
		{"verizon", "Verizon", "USA", []int{120, 300, 600}},
		{"tmobile", "T-Mobile", "USA", []int{300, 600}},
		{"vodafone", "Vodafone", "GBR", []int{300, 600, 1800}},
		{"telekom", "Telekom", "DEU", []int{300, 600}},
	}
)

// WithRotateByLink makes the server list 0 as the last rotation time of each mobile
// operator, and accept orders with it. In a sibling service, 0 means that the address
// changes only when the reboot link is opened. Without this option such an order is
// malformed.
func WithRotateByLink() Option {
	return func(s *Server) { s.account.rotatesByLink = true }
}

type country struct {
	Code string `json:"alpha3code"`
	Name string `json:"name"`
}

type operator struct {
	Code          string `json:"code"`
	Name          string `json:"name"`
	Country       string `json:"country"`
	RotationTimes []int  `json:"rotationTimes"` // in seconds
}

// countriesOf returns the countries a proxy type is sold in; mobile proxies need an
// operator there.
func countriesOf(t youproxy.ProxyType) []country {
	if t != youproxy.ProxyTypeMobile {
		return countries
	}
	return slices.DeleteFunc(slices.Clone(countries), func(c country) bool {
		return len(operatorsIn(c.Code)) == 0
	})
}

func sells(t youproxy.ProxyType, code string) bool {
	return slices.ContainsFunc(countriesOf(t), func(c country) bool { return c.Code == code })
}

func operatorsIn(code string) []operator {
	return slices.DeleteFunc(slices.Clone(operators), func(o operator) bool { return o.Country != code })
}

type proxyTypesReply struct {
	Success    bool                 `json:"success"`
	ProxyTypes []youproxy.ProxyType `json:"proxyTypes"`
	Error      *refusal             `json:"error"`
}

func readProxyTypes(*account, *call) (any, error) {
	return proxyTypesReply{true, proxyTypes, nil}, nil
}

func refuseProxyTypes(_ *account, _ funds, why *refusal) any {
	return proxyTypesReply{Error: why}
}

type countriesReply struct {
	Success   bool      `json:"success"`
	Countries []country `json:"countries"`
	Error     *refusal  `json:"error"`
}

func readCountries(_ *account, c *call) (any, error) {
	t, err := c.proxyType()
	if err != nil {
		return nil, err
	}
	return countriesReply{true, countriesOf(t), nil}, nil
}

func refuseCountries(_ *account, _ funds, why *refusal) any {
	return countriesReply{Error: why}
}

type rentPeriodsReply struct {
	Success        bool     `json:"success"`
	RentPeriodDays []int    `json:"rentPeriodDays"`
	Error          *refusal `json:"error"`
}

func readRentPeriods(_ *account, c *call) (any, error) {
	t, err := c.proxyType()
	if err != nil {
		return nil, err
	}
	return rentPeriodsReply{true, tariffs[t].days, nil}, nil
}

func refuseRentPeriods(_ *account, _ funds, why *refusal) any {
	return rentPeriodsReply{Error: why}
}

type mobileOperatorsReply struct {
	Success         bool       `json:"success"`
	MobileOperators []operator `json:"mobileOperators"`
	Error           *refusal   `json:"error"`
}

func readMobileOperators(a *account, _ *call) (any, error) {
	list := slices.Clone(operators)
	if a.rotatesByLink {
		for i := range list {
			list[i].RotationTimes = append(slices.Clip(list[i].RotationTimes), 0)
		}
	}
	return mobileOperatorsReply{true, list, nil}, nil
}

func refuseMobileOperators(_ *account, _ funds, why *refusal) any {
	return mobileOperatorsReply{Error: why}
}

// proxyType returns the parameter of that name.
func (c *call) proxyType() (youproxy.ProxyType, error) {
	t := youproxy.ProxyType(c.params.Get("proxyType"))
	if !t.Valid() {
		return "", refusalOf(4)
	}
	return t, nil
}
