package eval

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"quantcheck/internal/coco"
	"quantcheck/internal/result"
)

// Which category of a data set a class of the model is: an assignment has the index of a category for each class, −1 for none.
//
//  1. By names: those of the YAML or the NN archive, else those in the model's metadata, else COCO's 80 for a model of 80 classes.
//  2. By number, if there are as many: in the order of the categories' ids.
//  3. Where neither tells, and where the float model finds next to nothing with 2, by what scores best on what it found.
type assignment struct {
	name       string
	categories []int
}

// assigned is what is known of the assignment before anything was found.
type assigned struct {
	categories []int        // nil: one of the choices
	choices    []assignment // the usual one first
	certain    bool         // the numbers of classes speak for the first choice
	why        string       // in words, for people; "": nothing special
	missing    int          // categories that are no class of the model
}

const mostIDs = 1 << 16 // classes that an id can stand for

// assign finds the categories of a model's classes; classes is 0 if their number is not known.
func (b *Boxes) assign(classes int) (assigned, error) {
	set := b.data.Set.Categories
	if len(set) == 0 {
		return assigned{}, errors.New("the data set has no categories: no label was usable and no class is named")
	}
	if names := b.config.Classes; len(names) > 0 {
		a, known := byNames(set, names)
		if known == 0 {
			return assigned{}, fmt.Errorf("none of the model's %d classes (%s, …) is a category of the data set (%s, …)", len(names), names[0], set[0].Name)
		}
		return a, nil
	}
	var notes []string
	if names := b.config.ModelNames; len(names) > 0 {
		a, known := byNames(set, names)
		switch {
		case classes != 0 && len(names) != classes:
			notes = append(notes, fmt.Sprintf("the %d class names in the model's metadata are not those of its %d classes", len(names), classes))
		case known == 0:
			notes = append(notes, "none of the class names in the model's metadata is a category of the data set")
		default:
			a.why = "classes by the names in the model's metadata"
			return completed(a, set, len(names)), nil
		}
	}
	if len(set) != classes && classes == len(cocoNames) {
		if a, known := byNames(set, cocoNames); known > 0 {
			a.why = strings.Join(notes, "; ")
			return a, nil
		}
	}
	a := assigned{choices: choices(set, classes), certain: classes == 0 || classes == len(set), why: strings.Join(notes, "; ")}
	if len(a.choices) == 1 && a.certain {
		a.categories, a.choices = a.choices[0].categories, nil
	}
	return a, nil
}

// byNames assigns by names, and says how many categories have one.
func byNames(set []coco.Category, names []string) (a assigned, known int) {
	index := map[string]int{}
	for i, c := range set {
		index[plainName(c.Name)] = i
	}
	for i, c := range set { // the name itself is before one like it
		index[strings.ToLower(c.Name)] = i
	}
	for _, n := range names {
		i, ok := index[strings.ToLower(n)]
		if !ok {
			i, ok = index[plainName(n)]
		}
		if !ok {
			i = -1
		} else {
			known++
		}
		a.categories = append(a.categories, i)
	}
	a.missing = max(len(set)-known, 0)
	return a, known
}

// plainName is a name without case, spaces and signs, and by the word that COCO has for it where Pascal VOC has another.
func plainName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
	if same, ok := map[string]string{"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tvmonitor": "tv"}[plain]; ok {
		return same
	}
	if plain == "" {
		return name
	}
	return plain
}

// completed gives classes without a category that which their number gives, if the names of all others agree with the numbers.
func completed(a assigned, set []coco.Category, classes int) assigned {
	if a.missing == 0 || classes != len(set) {
		return a
	}
	byOrder := orderOfIDs(set)
	for k, i := range a.categories {
		if i >= 0 && i != byOrder[k] {
			return a
		}
	}
	return assigned{categories: byOrder, why: a.why + ", the others by the order of ids, which agrees with them"}
}

// orderOfIDs are the categories by ascending id.
func orderOfIDs(set []coco.Category) []int {
	order := make([]int, len(set))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(set[i].ID, set[j].ID) })
	return order
}

// choices lists the assignments by numbers that are usual, without those that are the same.
func choices(set []coco.Category, classes int) []assignment {
	var list []assignment
	add := func(name string, categories []int) {
		same := func(a assignment) bool { return slices.Equal(a.categories, categories) }
		if slices.ContainsFunc(categories, func(i int) bool { return i >= 0 }) && !slices.ContainsFunc(list, same) {
			list = append(list, assignment{name, categories})
		}
	}
	fit := func(order []int) []int {
		if classes > 0 {
			order = order[:min(len(order), classes)]
		}
		return order
	}
	add("the order of the categories' ids", fit(orderOfIDs(set)))
	asListed := make([]int, len(set))
	for i := range asListed {
		asListed[i] = i
	}
	add("the order in which the data set lists its categories", fit(asListed))
	byID := func(name string, class func(id int64) int64) {
		var categories []int
		for i, c := range set {
			k := class(c.ID)
			if k < 0 || k >= mostIDs || classes > 0 && k >= int64(classes) {
				continue
			}
			for int64(len(categories)) <= k {
				categories = append(categories, -1)
			}
			categories[k] = i
		}
		add(name, categories)
	}
	byID("id = class", func(id int64) int64 { return id })
	byID("id − 1 = class", func(id int64) int64 { return id - 1 })
	if classes == len(cocoNames) {
		byID("COCO's 80 of 91 ids", func(id int64) int64 { return int64(slices.Index(cocoIDs, id)) })
	}
	return list
}

// cocoIDs are the ids that COCO's 80 classes have.
var cocoIDs = func() []int64 {
	var ids []int64
	for id := int64(1); id <= 90; id++ {
		if !slices.Contains([]int64{12, 26, 29, 30, 45, 66, 68, 69, 71, 83}, id) {
			ids = append(ids, id)
		}
	}
	return ids
}()

// mapClasses settles the categories of the model's classes, as far as they are known before anything was found.
func (b *Boxes) mapClasses(classes int) error {
	a, err := b.assign(classes)
	if err != nil {
		return err
	}
	b.assigned = a
	if a.missing > 0 {
		b.problems.Add("categories of the data set are no class of the model", fmt.Sprintf("%d of %d", a.missing, len(b.data.Set.Categories)))
	}
	return nil
}

const certainScore = 0.5 // a usual assignment that scores this is not questioned

// chosen gives the categories by the model's class: those that were assigned, else those with which the float model scores best. It gives
// a sentence on the choice, if there was one.
func (b *Boxes) chosen() ([]int, string, error) {
	a := b.assigned
	if a.choices == nil {
		return a.categories, a.why, nil
	}
	if b.choice != nil && b.choiceOf == len(b.scored) {
		return b.choice, b.choiceWhy, nil
	}
	best, first, score := 0, 0.0, 0.0
	var tried []string
	for k, c := range a.choices {
		r, err := b.evaluateAs(0, b.scored, c.categories)
		if err != nil {
			return nil, "", err
		}
		v := max(r.Stats[0], 0)
		tried = append(tried, fmt.Sprintf("%s %.4f", c.name, v))
		if k == 0 {
			if first, score = v, v; a.certain && v >= certainScore {
				break
			}
			continue
		}
		if v > score && (!a.certain || v > 2*first && v >= result.BlindScore) {
			best, score = k, v
		}
	}
	why := a.why
	if best > 0 || !a.certain {
		if why != "" {
			why += "; "
		}
		why += fmt.Sprintf("neither names nor numbers tell the classes: by %s, with which the float model scores best (mAP by %s)", a.choices[best].name, strings.Join(tried, "; by "))
	}
	b.choice, b.choiceOf, b.choiceWhy = a.choices[best].categories, len(b.scored), why
	return b.choice, why, nil
}

// evaluateAs scores what a model found on some of the pictures. categories are those of its classes; nil: what was found has them already.
func (b *Boxes) evaluateAs(model int, images []int64, categories []int) (*coco.Result, error) {
	params := coco.DefaultParams(coco.Boxes)
	params.Images, params.Strict = images, b.strict
	if b.settled.Most > 100 { // what COCO's benchmark does not look at is looked at if it was asked for
		params.MaxDets = []int{1, 10, 100, b.settled.Most}
	}
	return coco.Evaluate(b.data.Set, b.found(model, categories), params)
}

// found is what a model found, with the set's categories. Boxes of classes without one are left out.
func (b *Boxes) found(model int, categories []int) []coco.Annotation {
	all := b.models[model].found
	if categories == nil {
		return all
	}
	var list []coco.Annotation
	for _, a := range all {
		if k := a.CategoryID; k >= 0 && k < int64(len(categories)) && categories[k] >= 0 {
			a.CategoryID = b.data.Set.Categories[categories[k]].ID
			a.ID = int64(len(list) + 1)
			list = append(list, a)
		}
	}
	return list
}

// recategorise gives pictures for people the categories of a choice.
func recategorise(list []result.EvalPicture, categories []int) []result.EvalPicture {
	pictures := slices.Clone(list)
	for i := range pictures {
		p := &pictures[i]
		models := make([][]result.Box, len(p.Found))
		for m, boxes := range p.Found {
			models[m] = []result.Box{}
			for _, x := range boxes {
				if x.Class >= 0 && x.Class < len(categories) && categories[x.Class] >= 0 {
					x.Class = categories[x.Class]
					models[m] = append(models[m], x)
				}
			}
		}
		p.Found = models
	}
	return pictures
}

// placeScore is the float model's mAP where classes do not count.
func (b *Boxes) placeScore() (float64, error) {
	one := *b.data.Set
	one.Categories = []coco.Category{{ID: 1, Name: "anything"}}
	one.Annotations = slices.Clone(one.Annotations)
	for i := range one.Annotations {
		one.Annotations[i].CategoryID = 1
	}
	found := slices.Clone(b.models[0].found)
	for i := range found {
		found[i].CategoryID = 1
	}
	params := coco.DefaultParams(coco.Boxes)
	params.Images = b.scored
	r, err := coco.Evaluate(&one, found, params)
	if err != nil {
		return 0, err
	}
	return max(r.Stats[0], 0), nil
}

// blind says what a detector's score of nothing comes from.
func (b *Boxes) blind(e *result.Evaluation) error {
	if !e.Blind() {
		return nil
	}
	n := len(b.models[0].found)
	place, err := b.placeScore()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("the float model itself sees next to nothing: mAP %.4f with %d boxes on %d pictures, so that no variant's score says anything about quantization; ", e.Models[0].Scores[0].V, n, len(b.scored))
	if place >= 0.1 {
		what += fmt.Sprintf("its boxes stand right (mAP %.4f where classes do not count), so its classes are not those of the data set: name them in the model's YAML (eval: classes: [...])", place)
	} else {
		what += "most often the input is described wrongly (the same command with --try-inputs says which description fits), else its classes are not those of the data set (eval: classes: [...] in the model's YAML), or its outputs are not read as they are meant (read as, --decoder)"
	}
	e.Warnings = append(e.Warnings, what)
	return nil
}
