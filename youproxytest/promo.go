package youproxytest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/youproxy-go/youproxy"
)

// PromoCode is a promo code of the account. It can be used any number of times.
type PromoCode struct {
	Code         string
	Percent      int               // off the price, 0 to 100
	Start        time.Time         // zero if it has no beginning
	End          time.Time         // zero if it has no end
	Descriptions map[string]string // by locale, such as "en"
}

// WithPromoCode is [WithPromoCodes] for one code that is always valid.
func WithPromoCode(code string, percent int) Option {
	return WithPromoCodes(PromoCode{Code: code, Percent: percent})
}

// WithPromoCodes adds promo codes to the account. From Start to End, both included,
// they are VALID, by the clock of the server; otherwise they are NO_VALID, which is
// not an error. A code that was added before is replaced. WithPromoCodes panics if
// a discount is not 0 to 100 percent.
func WithPromoCodes(list ...PromoCode) Option {
	for _, p := range list {
		if p.Percent < 0 || p.Percent > 100 {
			panic(fmt.Sprintf("youproxytest: the discount of %q is %d percent: it must be 0 to 100", p.Code, p.Percent))
		}
	}
	return func(s *Server) {
		for _, p := range list {
			p.Descriptions = maps.Clone(p.Descriptions)
			if known := s.account.promoCode(p.Code); known != nil {
				known.PromoCode = p
			} else {
				s.account.promoCodes = append(s.account.promoCodes, &promoCode{PromoCode: p})
			}
		}
	}
}

// promoCode is a promo code and how often it was used.
type promoCode struct {
	PromoCode

	uses int // in orders and extensions that were executed
}

// promoCode returns the promo code of that name, or nil.
func (a *account) promoCode(code string) *promoCode {
	i := slices.IndexFunc(a.promoCodes, func(p *promoCode) bool { return p.Code == code })
	if i < 0 {
		return nil
	}
	return a.promoCodes[i]
}

// holds reports whether the promo code is valid at a time.
func (p *promoCode) holds(at time.Time) bool {
	return !at.Before(p.Start) && (p.End.IsZero() || !at.After(p.End))
}

// redeem returns the promo code that was sent, or nil if it is not valid, and its status.
func (a *account) redeem(code *string) (*promoCode, *string) {
	if code == nil {
		return nil, nil
	}
	status := string(youproxy.PromoCodeNotValid)
	p := a.promoCode(*code)
	if p == nil || !p.holds(a.now) {
		return nil, &status
	}
	status = string(youproxy.PromoCodeValid)
	return p, &status
}

type promoCodesReply struct {
	Success    bool              `json:"success"`
	PromoCodes []promoCodeRecord `json:"promoCodes"`
	Error      *refusal          `json:"error"`
}

type promoCodeRecord struct {
	Code         string            `json:"code"`
	Uses         int               `json:"countUses"`
	Start        *string           `json:"startDate"`
	End          *string           `json:"endDate"`
	Endless      bool              `json:"endless"`
	Discount     int               `json:"discount"`
	Descriptions map[string]string `json:"descriptionsByLocale"`
}

func readPromoCodes(a *account, _ *call) (any, error) {
	list := make([]promoCodeRecord, len(a.promoCodes))
	for i, p := range a.promoCodes {
		start := p.Start
		if start.IsZero() {
			start = time.Unix(0, 0) // the service's documentation always has a date here
		}
		list[i] = promoCodeRecord{p.Code, p.uses, date(start), date(p.End), p.End.IsZero(), p.Percent, p.Descriptions}
	}
	return promoCodesReply{true, list, nil}, nil
}

func refusePromoCodes(_ *account, _ funds, why *refusal) any {
	return promoCodesReply{Error: why}
}

// dateLayout is how the service writes a time, which is in UTC.
const dateLayout = "2006-01-02T15:04:05.000-07:00"

// date returns a time as the service writes it, or nil for none.
func date(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(dateLayout)
	return &text
}
