package qnn

import (
	"fmt"
	"strconv"
	"strings"

	"quantcheck/internal/suggest"
)

// SoC is a chip with an HTP.
type SoC struct {
	Name   string
	Number int // Qualcomm's, Qnn_SocModel_t of QnnTypes.h
}

// SoCs are chips that people name; others go by their number.
var SoCs = []SoC{
	{"qcs8550", 66}, {"qcs9100", 77}, {"qcs8300", 82}, {"sm8350", 30}, {"sm8450", 36}, {"sm8475", 42}, {"sm8550", 43}, {"sm8650", 57}, {"sm8635", 68}, {"sm8750", 69},
	{"sm8850", 87}, {"sm7325", 35}, {"sm7450", 41}, {"sm7475", 54}, {"sm7550", 64}, {"sm7675", 70}, {"sm7750", 86}, {"sm8735", 85}, {"sc8280x", 37}, {"sc8380xp", 60},
	{"sa8255", 52}, {"sa8295", 39}, {"sa8540", 62}, {"sa8797", 72}, {"ssg2115p", 46}, {"ssg2125p", 58}, {"sxr1230p", 45}, {"sxr2230p", 53}, {"sxr2330p", 75},
}

// ParseSoC finds a chip's number by its name, whatever the case, or takes the number itself.
func ParseSoC(text string) (int, error) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 1<<16 {
		return n, nil
	}
	name := strings.ToLower(strings.TrimSpace(text))
	var names []string
	for _, s := range SoCs {
		if s.Name == name {
			return s.Number, nil
		}
		names = append(names, s.Name)
	}
	return 0, fmt.Errorf("no chip %q is known (nearest: %s); Qualcomm's number of a chip does too", text, suggest.Nearest(name, names)[0])
}
