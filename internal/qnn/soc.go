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
	Arch   int // of its HTP; 0: it is left to the libraries, which know it by the number
}

// SoCs are chips that people name, the default first; others go by their number.
var SoCs = []SoC{
	{"rvc4", 66, 73}, {"qcs8550", 66, 73}, {"qcs9100", 77, 73}, {"qcs8300", 82, 0}, {"sm8350", 30, 68}, {"sm8450", 36, 69}, {"sm8475", 42, 69}, {"sm8550", 43, 73},
	{"sm8650", 57, 75}, {"sm8635", 68, 0}, {"sm8750", 69, 79}, {"sm8850", 87, 81}, {"sm7325", 35, 68}, {"sm7450", 41, 69}, {"sm7475", 54, 69}, {"sm7550", 64, 0},
	{"sm7675", 70, 0}, {"sm7750", 86, 0}, {"sm8735", 85, 0}, {"sc8280x", 37, 68}, {"sc8380xp", 60, 73}, {"sa8255", 52, 73}, {"sa8295", 39, 68}, {"sa8540", 62, 68},
	{"sa8797", 72, 81}, {"ssg2115p", 46, 0}, {"ssg2125p", 58, 0}, {"sxr1230p", 45, 0}, {"sxr2230p", 53, 0}, {"sxr2330p", 75, 0},
}

// ParseSoC finds a chip by its name, whatever the case, or by its number.
func ParseSoC(text string) (SoC, error) {
	name := strings.ToLower(strings.TrimSpace(text))
	number, err := strconv.Atoi(name)
	numeric := err == nil && number > 0 && number < 1<<16
	var names []string
	for _, s := range SoCs {
		if s.Name == name || numeric && s.Number == number {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if numeric {
		return SoC{Name: name, Number: number}, nil
	}
	return SoC{}, fmt.Errorf("no chip %q is known (nearest: %s); Qualcomm's number of a chip does too", text, suggest.Nearest(name, names)[0])
}
