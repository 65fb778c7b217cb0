package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestCatalog(t *testing.T) {
	for name, test := range map[string]struct {
		args       string
		want, note string
	}{
		"types": {
			want: "IPv4\t30,60,90,180,360\t5\nIPv6\t30,90,180,360\t5\nMOBILE\t30,360\t3\nISP\t30,60,90,180,360\t5\n",
		},
		"a type": {
			args: "isp",
			want: "USA\tUnited States\nDEU\tGermany\nGBR\tUnited Kingdom\nFRA\tFrance\nNLD\tNetherlands\n",
			note: "rent periods in days: 30,60,90,180,360\n",
		},
		"mobile operators": {
			args: "MOBILE",
			want: "USA\tUnited States\tverizon\tVerizon\t120,300,600,link\nUSA\tUnited States\ttmobile\tT-Mobile\t300,600,link\n" +
				"DEU\tGermany\ttelekom\tTelekom\t300,600,link\nGBR\tUnited Kingdom\tvodafone\tVodafone\t300,600,1800,link\n",
			note: "rent periods in days: 30,360\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t, youproxytest.WithRotateByLink())
			code, stdout, stderr := s.run(append([]string{"catalog"}, strings.Fields(test.args)...)...)
			assert.Equal(t, 0, code)
			assert.Equal(t, test.want, stdout)
			assert.Equal(t, test.note, stderr)
		})
	}
}

func TestCatalogAsJSON(t *testing.T) {
	s := newShell(t)
	_, stdout, _ := s.run("catalog", "-o", "json")
	var types []onSale
	require.NoError(t, json.Unmarshal([]byte(stdout), &types))
	require.Len(t, types, 4)
	assert.Equal(t, country{Code: "DEU", Name: "Germany"}, types[0].Countries[1])

	_, stdout, _ = s.run("catalog", "mobile", "-o", "json")
	var mobile onSale
	require.NoError(t, json.Unmarshal([]byte(stdout), &mobile))
	assert.Equal(t, onSale{"MOBILE", []int{30, 360}, mobile.Countries}, mobile)
	assert.Equal(t, country{"DEU", "Germany", []operator{{"telekom", "Telekom", []int{300, 600}}}}, mobile.Countries[1])
}

func TestCatalogThatIsRefused(t *testing.T) {
	for _, op := range []string{"GET /proxyType", "GET /rentPeriod", "GET /country", "GET /mobileOperator"} {
		s := newShell(t)
		s.Refuse(op, 3)
		args := []string{"catalog", "MOBILE"}
		if op == "GET /proxyType" {
			args = args[:1]
		}
		code, stdout, stderr := s.run(args...)
		assert.Equal(t, 1, code, op)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, op)
	}
}

// TestOperatorsInTheirCountries: how the service names the country of an operator is not
// documented.
func TestOperatorsInTheirCountries(t *testing.T) {
	sold := &onSale{Countries: []country{{Code: "USA", Name: "United States"}, {Code: "DEU", Name: "Germany"}}}
	sold.place([]youproxy.MobileOperator{
		{Tag: "a", Country: "usa"}, {Tag: "b", Country: "Germany"}, {Tag: "c", Country: "Mars"}, {Tag: "d"}, {Tag: "e", Country: "Mars"},
	})
	placed := map[string]string{}
	for _, c := range sold.Countries {
		for _, o := range c.Operators {
			placed[o.Tag] = c.Code + " " + c.Name
		}
	}
	assert.Equal(t, map[string]string{"a": "USA United States", "b": "DEU Germany", "c": " Mars", "d": " ", "e": " Mars"}, placed)
}

func TestPromoCodes(t *testing.T) {
	s := newShell(t)
	code, stdout, stderr := s.run("catalog", "promo-codes")
	assert.Equal(t, 0, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "there are no promo codes\n", stderr)

	s = newShell(t, youproxytest.WithPromoCode("LOYAL", 5))
	_, stdout, _ = s.run("catalog", "promo-codes")
	assert.Regexp(t, `^LOYAL\t5 %\t0\twithout end\t.*\n$`, stdout)
	_, stdout, _ = s.run("catalog", "promo-codes", "--output", "json")
	var codes []promoCode
	require.NoError(t, json.Unmarshal([]byte(stdout), &codes))
	require.Len(t, codes, 1)
	assert.Equal(t, promoCode{Code: "LOYAL", Discount: "5", Start: time.Unix(0, 0).UTC(), Endless: true}, codes[0])
}

func TestWhenPromoCodesAreValid(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for want, c := range map[string]youproxy.PromoCode{
		"without end":                       {Endless: true},
		"end not known":                     {Discount: decimal.NewFromInt(5)},
		"ended 2026-02-28":                  {Start: day(-9), End: day(-1)},
		"until 2026-03-02":                  {Start: day(-9), End: day(1)},
		"from 2026-03-02, until 2026-03-03": {Start: day(1), End: day(2)},
		"from 2026-03-02, without end":      {Start: day(1), Endless: true},
	} {
		assert.Equal(t, want, validity(c, now))
	}
}
